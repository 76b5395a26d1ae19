"""Export the cutout network as one ONNX file that runs without Python, and check it against torch.

The file maps an opaque clip to alpha and un-mixed colors.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from einops import rearrange
from onnx import helper
from torch import Tensor, nn

from glassine import __version__
from glassine.data.alpha import composite_frames
from glassine.data.sources.procedural import ProceduralStickers
from glassine.models.ildiff import ILDiff, LayoutHint
from glassine.pipelines.backgrounds import INVISIBLE_TO, OPAQUE_FROM, find_background
from glassine.pipelines.onnx_export.layout_hint import FLOOD_FILL, ExportableHint, background_of, write_connected_planes
from glassine.pipelines.onnx_export.nodes import (
    DOMAIN,
    LONGEST,
    NEAREST,
    OPSET,
    Nodes,
    write_median_filter,
    write_nearest_pixel,
)
from glassine.utils.errors import UserError
from glassine.utils.files import atomic_path

FIND = -1.0  # as background: estimate it


class CutoutGraph(nn.Module):
    """An ILDiff with the pre- and postprocessing for clips of its input size.

    Args:
        ildiff: the network; its hint, if any, must be a `LayoutHint`.

    Raises:
        UserError: it has another hint, or candidates that are not supported in ONNX.
    """

    def __init__(self, ildiff: ILDiff) -> None:
        super().__init__()
        self.ildiff = ildiff
        if ildiff.hint is not None and not isinstance(ildiff.hint, LayoutHint):
            raise UserError(f"hint must be a LayoutHint or None for ONNX, got a {type(ildiff.hint).__name__}")
        self.hint = ExportableHint(ildiff.hint) if ildiff.hint is not None else None

    def forward(self, clip: Tensor, background: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Cut out one clip.

        Args:
            clip: `1 f 3 h w` in [0, 1], opaque.
            background: `1 3` in [0, 1], or `FIND`.

        Returns:
            Alpha `1 f 1 h w` and straight color `1 f 3 h w`, both in [0, 1], and the background used, `1 3`.
        """
        background = torch.where((background < 0).any(), background_of(clip), background)
        alpha = self.alpha_of(clip, self.ildiff.adjusted_latents(clip), background)
        return alpha, unmixed(clip, alpha, background), background

    def alpha_of(self, clip: Tensor, latents: Tensor, background: Tensor) -> Tensor:
        """Alpha `1 f 1 h w` in [0, 1] of single frames, given their adjusted latents `1 f 4 h/8 w/8`."""
        picture, _ = self.ildiff.picture(clip, latents)
        inputs = [picture, latents, *(self.hint(clip, background) if self.hint is not None else ())]
        rgba = self.ildiff.read(*(rearrange(x, "b f c h w -> (b f) c h w") for x in inputs))  # f 4 h w
        return rearrange(rgba[:, :1], "f c h w -> 1 f c h w").clamp(0, 1)


def unmixed(clip: Tensor, alpha: Tensor, background: Tensor) -> Tensor:
    """The straight color F of C = aF + (1 - a)B, clipped to [0, 1]: like `unmix.unmix`, without its rounding.

    If alpha is so small that `cutout` treats it as 0, its smallest nonzero value is used.
    """
    behind = rearrange(background, "1 c -> 1 1 c 1 1")
    share = alpha.clamp(min=(INVISIBLE_TO + 0.5) / 255)
    return ((clip - behind) / share + behind).clamp(0, 1)


TOLERANCE = 1e-3
INPUTS, OUTPUTS = ("clip", "background"), ("alpha", "color", "used_background")
SAMPLE_FRAMES = 4
TRACED_FRAMES = 3  # differs from the sample: the file supports any number
MEANING = {
    "clip": "1 f 3 h w float32 in [0, 1]: f opaque RGB frames, h and w as in `size`; f is free",
    "background": "1 3 float32: the flat background's RGB in [0, 1], or -1 -1 -1 to estimate it from the border",
    "alpha": "1 f 1 h w float32 in [0, 1]",
    "color": "1 f 3 h w float32 in [0, 1]: straight RGB, un-mixed from the background",
    "used_background": "1 3 float32: the given or estimated background",
    "finish": f"`glassine cutout` clamps alpha up to {INVISIBLE_TO}/255 to 0; from {OPAQUE_FROM}/255 up it uses alpha "
    "1 and the clip's own color",
}


def export_onnx(ildiff: ILDiff, target: Path, size: tuple[int, int] = (256, 256), source: str = "") -> float:
    """Write `ildiff` with all its parts, including the hint's classic methods, as one ONNX file.

    Args:
        ildiff: the network; it is moved to the CPU.
        target: the `.onnx` file.
        size: height and width in pixels of the file's input; the number of frames is dynamic.
        source: name of the network in the file's metadata.

    Returns:
        The largest difference between the file's results in ONNX Runtime and the network's in torch, for a sample
        sticker: of alpha, and of color times alpha.

    Raises:
        UserError: the target is not an .onnx file or cannot be written, the network does not support the size or cannot
            be exported to ONNX, or the results differ by more than `TOLERANCE`. Nothing is written then.
    """
    if target.suffix.lower() != ".onnx":
        raise UserError(f"target must end in .onnx, got {target}")
    check_size(size, ildiff.size_multiple)
    if not hasattr(torch.onnx, "ops"):
        raise UserError(f"torch {torch.__version__} is installed; writing ONNX needs 2.8 or newer: update it")
    ildiff = ildiff.cpu().eval()
    with atomic_path(target) as temporary:
        model = to_onnx(ildiff, size)
        about = {"version": __version__, "source": source, "size": f"{size[0]} {size[1]}", **MEANING}
        about["temporal_radius"] = f"{ildiff.temporal_radius}: in windows of a longer sticker, frames closer to a cut"
        about["temporal_radius"] += " than this are only context, so windows overlap by twice as many"
        helper.set_model_props(model, {f"glassine.{name}": text for name, text in about.items()})
        onnx.save(model, temporary)
        difference = compare(temporary, ildiff, size)
        if not difference <= TOLERANCE:
            raise UserError(
                f"in ONNX Runtime {onnxruntime.__version__} the file's results differ by {difference:.2g} from torch's "
                f"({TOLERANCE} is allowed), so {target} was not written: try another version of onnxruntime"
            )
    return difference


def check_size(size: tuple[int, int], multiple: int) -> None:
    """Raise UserError if the network does not support images of this height and width."""
    if any(side % multiple or not 0 < side <= LONGEST for side in size):
        raise UserError(
            f"height and width must be multiples of {multiple} up to {LONGEST // multiple * multiple}, got {size[0]} x "
            f"{size[1]}"
        )


def to_onnx(ildiff: ILDiff, size: tuple[int, int]) -> onnx.ModelProto:
    """The network as a graph of standard ONNX operations.

    Raises:
        UserError: it has a part that cannot be exported.
    """
    inputs = torch.rand(1, TRACED_FRAMES, 3, *size), torch.full((1, 3), FIND)
    return written(CutoutGraph(ildiff), dict(zip(INPUTS, inputs, strict=True)), OUTPUTS, size)


def written(
    graph: nn.Module, inputs: dict[str, Tensor], outputs: Sequence[str], size: tuple[int, int]
) -> onnx.ModelProto:
    """A module as a graph of standard ONNX operations; frames, the second axis of inputs `1 f ...`, are dynamic.

    Args:
        graph: takes `inputs` in their order.
        inputs: examples by name.
        outputs: names of the results.
        size: height and width of the pictures.

    Raises:
        UserError: it has a part that cannot be exported.
    """
    frames = torch.export.Dim("frames", min=2, max=63)  # a tracing limit, from a branch in diffusers' upsampling
    dynamic = tuple({1: frames} if x.ndim > 2 else None for x in inputs.values())
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            program = torch.onnx.export(
                graph.eval(),
                tuple(inputs.values()),
                dynamo=True,
                opset_version=OPSET,
                dynamic_shapes=dynamic,
                input_names=list(inputs),
                output_names=list(outputs),
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            reason = str(error.__cause__ or error).strip().partition("\n")[0]
            raise UserError(f"the network cannot be written as ONNX: {reason}; leave that part out") from error
    assert program is not None
    model = program.model_proto
    expand(model, size)
    model.producer_name, model.producer_version = "glassine", __version__
    onnx.checker.check_model(model)
    return model


def expand(model: onnx.ModelProto, size: tuple[int, int]) -> None:
    """Replace placeholder nodes with the hand-written ones."""
    nodes = list(model.graph.node)
    del model.graph.node[:]
    for number, node in enumerate(nodes):
        if node.domain != DOMAIN:
            model.graph.node.append(node)
            continue
        written = Nodes(f"{node.op_type}_{number}")
        source_input = node.input[0]
        if node.op_type == FLOOD_FILL:
            result = write_connected_planes(written, source_input, *size)
        elif node.op_type == NEAREST:
            result = write_nearest_pixel(written, source_input, *size)
        else:
            result = write_median_filter(written, source_input, *size, width=node.attribute[0].i)
        model.graph.node.extend(written.ending_in(result, node.output[0]))
    kept = [opset for opset in model.opset_import if opset.domain != DOMAIN]
    del model.opset_import[:]
    model.opset_import.extend(kept)


def compare(file: Path, ildiff: ILDiff, size: tuple[int, int]) -> float:
    """Largest difference between the file and the network, run as in `cutout`, for a sample sticker."""
    frames = sample_frames(size)
    clip = rearrange(torch.from_numpy(frames), "f h w c -> 1 f c h w").float() / 255
    found = torch.tensor([find_background(list(np.insert(frames, 3, 255, axis=-1)))]) / 255  # 1 3
    with torch.inference_mode():
        alpha, _ = ildiff.decode(clip, found)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    feed = {"clip": clip.numpy(), "background": np.full((1, 3), FIND, np.float32)}
    results = dict(zip(OUTPUTS, (torch.from_numpy(x) for x in session.run(list(OUTPUTS), feed)), strict=True))
    color = unmixed(clip, alpha, found)
    pairs: list[tuple[Tensor, Tensor]] = [
        (results["alpha"], alpha),
        (results["color"] * results["alpha"], color * alpha),
        (results["used_background"], found),
    ]
    return max(float((ours - theirs).abs().max()) for ours, theirs in pairs)


def sample_frames(size: tuple[int, int]) -> np.ndarray:
    """A drawing on white, `f h w 3` uint8; the second half of its frames is degraded as by compression."""
    stickers = ProceduralStickers(seed=0, size=max(size), length=1)
    rgba = stickers.render(0, range(SAMPLE_FRAMES))[:, : size[0], : size[1]]
    frames = np.stack([composite_frames(frame, (255, 255, 255)) for frame in rgba])
    noise = np.random.default_rng(0).integers(-3, 4, frames[SAMPLE_FRAMES // 2 :].shape)
    frames[SAMPLE_FRAMES // 2 :] = np.clip(frames[SAMPLE_FRAMES // 2 :] + noise, 0, 255)
    return frames
