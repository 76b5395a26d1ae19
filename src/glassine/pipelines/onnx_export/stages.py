"""The cutout network as two ONNX files for callers that stream frames, such as a page in a browser.

`latents.onnx` looks at frames with their neighbors in time; `alpha.onnx` reads single frames. In one file, every frame
of context would go through the whole of it: here only its cheaper half does, and memory is that of a few frames.
"""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from einops import rearrange
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from glassine import __version__
from glassine.models.ildiff import ILDiff
from glassine.pipelines.backgrounds import find_background
from glassine.pipelines.onnx_export.export import (
    TOLERANCE,
    TRACED_FRAMES,
    CutoutGraph,
    check_size,
    sample_frames,
    written,
)
from glassine.utils.errors import UserError

LATENTS, ALPHA = "latents.onnx", "alpha.onnx"
SMALLEST_HALVED = 256  # numbers of a constant that is worth storing at half precision


class LatentsGraph(nn.Module):
    """Frames in time: `1 f 3 h w` in [0, 1] to adjusted latents `1 f 4 h/8 w/8`."""

    def __init__(self, ildiff: ILDiff) -> None:
        super().__init__()
        self.ildiff = ildiff

    def forward(self, clip: Tensor) -> Tensor:
        """The latents of each frame, within its temporal context."""
        return self.ildiff.adjusted_latents(clip)


class AlphaGraph(nn.Module):
    """Single frames: alpha `1 f 1 h w` in [0, 1] of frames `1 f 3 h w`, their latents, and the background `1 3`."""

    def __init__(self, ildiff: ILDiff) -> None:
        super().__init__()
        self.whole = CutoutGraph(ildiff)

    def forward(self, clip: Tensor, latents: Tensor, background: Tensor) -> Tensor:
        """Alpha."""
        return self.whole.alpha_of(clip, latents, background)


def export_stages(ildiff: ILDiff, folder: Path, size: tuple[int, int] = (256, 256)) -> float:
    """Write `latents.onnx` and `alpha.onnx` into `folder`, which exists.

    Weights that half precision holds exactly, as those of a weights folder, are stored in it: the files are half as
    large and give the same results.

    Args:
        ildiff: the network; it is moved to the CPU.
        folder: for the two files.
        size: height and width in pixels of their input; the number of frames is dynamic.

    Returns:
        The largest difference in alpha between the files in ONNX Runtime and the network in torch, for a sample.

    Raises:
        UserError: the network does not support the size or cannot be exported to ONNX, or the results differ by more
            than `TOLERANCE`.
    """
    check_size(size, ildiff.size_multiple)
    ildiff = ildiff.cpu().eval()
    clip, background = torch.rand(1, TRACED_FRAMES, 3, *size), torch.rand(1, 3)
    with torch.no_grad():
        latents = ildiff.adjusted_latents(clip)
    inputs = {"clip": clip, "latents": latents, "background": background}
    for name, graph, needed, result in (
        (LATENTS, LatentsGraph(ildiff), ("clip",), "latents"),
        (ALPHA, AlphaGraph(ildiff), ("clip", "latents", "background"), "alpha"),
    ):
        model = written(graph, {key: inputs[key] for key in needed}, [result], size)
        store_as_half(model)
        helper.set_model_props(model, {"glassine.version": __version__, "glassine.size": f"{size[0]} {size[1]}"})
        onnx.save(model, folder / name)
    difference = difference_of_stages(folder, ildiff, size)
    if not difference <= TOLERANCE:
        raise UserError(
            f"in ONNX Runtime {onnxruntime.__version__} alpha differs by {difference:.2g} from torch's ({TOLERANCE} is "
            "allowed): try another version of onnxruntime"
        )
    return difference


def difference_of_stages(folder: Path, ildiff: ILDiff, size: tuple[int, int]) -> float:
    """Largest difference in alpha between the two files and the network, for a sample sticker."""
    frames = sample_frames(size)
    clip = rearrange(torch.from_numpy(frames), "f h w c -> 1 f c h w").float() / 255
    found = torch.tensor([find_background(list(np.insert(frames, 3, 255, axis=-1)))]) / 255  # 1 3
    with torch.inference_mode():
        alpha, _ = ildiff.decode(clip, found)
    first, second = (
        onnxruntime.InferenceSession(folder / name, providers=["CPUExecutionProvider"]) for name in (LATENTS, ALPHA)
    )
    (latents,) = first.run(None, {"clip": clip.numpy()})
    (result,) = second.run(None, {"clip": clip.numpy(), "latents": latents, "background": found.numpy()})
    return float(np.abs(result - alpha.clamp(0, 1).numpy()).max())


def store_as_half(model: onnx.ModelProto) -> None:
    """Store constants in half precision where that loses nothing, with a cast before their use."""
    casts = []
    for constant in model.graph.initializer:
        if constant.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(constant)
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if values.size < SMALLEST_HALVED or not np.array_equal(half.astype(np.float32), values):
            continue
        name = constant.name
        constant.CopyFrom(numpy_helper.from_array(half, f"{name}_half"))
        casts.append(helper.make_node("Cast", [constant.name], [name], to=TensorProto.FLOAT))
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*casts, *nodes])
    kept = [value for value in model.graph.value_info if value.name not in {cast.output[0] for cast in casts}]
    del model.graph.value_info[:]
    model.graph.value_info.extend(kept)
