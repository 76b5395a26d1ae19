"""The rows of the score table: from an opaque clip to alpha, by whatever means."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn

from glassine.bench.loading import Loaded, load_network
from glassine.errors import UserError
from glassine.models.classic import ColourProjection, FloodFill, GrabCut, Threshold, for_damaged_files, true_boxes
from glassine.models.ildiff import ILDiff
from glassine.models.transparency import LatentTransparency
from glassine.pipelines.cutout import CutoutPipeline

AlphaFunction = Callable[[Tensor, Tensor | None, Tensor | None], Tensor]
Setting = float | int | str
CPU = torch.device("cpu")
TITLES = {
    "threshold": "threshold",
    "flood_fill": "flood fill, soft edge",
    "colour_projection": "flood fill, colour projection",
    "colour_projection_calm": "flood fill, colour projection, for damaged files",
    "grab_cut": "GrabCut, true box",
    "layer_diffuse": "LayerDiffuse",
    "ildiff_own": "ILDiff, its decoder alone",
    "ildiff": "ILDiff",
    "cutout": "ILDiff in `glassine cutout`",
}
CODEC = "glassine:tiny-transparency"
SHIPPED_ILDIFF = "glassine:tiny-ildiff"


@dataclass(frozen=True)
class Method:
    """One row.

    Attributes:
        name: key of `TITLES`, or another that the caller chose.
        title: the row's name; rows of the same title are seeds of one method.
        function: clip, background, true alpha to alpha; None where its weights are missing.
        settings: the constructor's arguments.
        weights: bundle, or run that left the checkpoint.
        config: the YAML it was trained with and what was changed in it, where that is known.
        digest: changes with the weights.
        seed: of the training, where it is known.
        parameters: number of them.
        size_multiple: what height and width must be multiples of.
        missing: why there is no function.
        device: where it runs.
    """

    name: str
    title: str
    function: AlphaFunction | None = None
    settings: dict[str, Setting] = field(default_factory=dict)
    weights: str = ""
    config: str = ""
    digest: str = ""
    seed: int | None = None
    parameters: int = 0
    size_multiple: int = 1
    missing: str = ""
    device: torch.device = CPU

    @torch.no_grad()
    def alpha(self, clip: Tensor, background: Tensor | None = None, true_alpha: Tensor | None = None) -> Tensor:
        """Alpha `b f 1 h w` in [0, 1], on the CPU.

        Args:
            clip: `b f 3 h w` in [0, 1], opaque.
            background: `b 3`; None lets the method estimate it, as it must for a user's file.
            true_alpha: `b f 1 h w`, read by methods that are given the true box, and by no other.

        Raises:
            UserError: the method's weights are missing.
        """
        if self.function is None:
            raise UserError(f"{self.title}: {self.missing}")
        return self.function(clip, background, true_alpha).float().cpu()


def make_methods(
    names: Sequence[str] | None = None,
    ildiff: Sequence[str] = (SHIPPED_ILDIFF,),
    codec: str = CODEC,
    device: torch.device = CPU,
) -> list[Method]:
    """The rows asked for, in the table's order.

    Args:
        names: keys of `TITLES`; None for all.
        ildiff: bundles, runs or checkpoints (`load_network`); several are seeds of one row.
        codec: the same for LayerDiffuse's codec.
        device: where the networks run.

    Raises:
        UserError: an unknown name.
    """
    unknown = [name for name in names or () if name not in TITLES]
    if unknown:
        raise UserError(f"method {unknown[0]!r} came; choose from {', '.join(TITLES)}")
    label = "" if ildiff[0] == SHIPPED_ILDIFF else f" ({ildiff[0]})"
    makers: dict[str, Callable[[], list[Method]]] = {
        "threshold": lambda: [classic("threshold", Threshold())],
        "flood_fill": lambda: [classic("flood_fill", FloodFill())],
        "colour_projection": lambda: [classic("colour_projection", ColourProjection())],
        # ILDiff's hint has it as a candidate, so it has to stand beside ILDiff
        "colour_projection_calm": lambda: [classic("colour_projection_calm", for_damaged_files())],
        "grab_cut": lambda: [grab_cut()],
        "layer_diffuse": lambda: [layer_diffuse(codec, device)],
        # without the hint's candidates in the mix; the decoder still looks at them
        "ildiff_own": lambda: [ildiff_method(s, device, TITLES["ildiff_own"] + label, "ildiff_own") for s in ildiff],
        "ildiff": lambda: [ildiff_method(s, device, TITLES["ildiff"] + label) for s in ildiff],
        "cutout": lambda: [ildiff_method(s, device, TITLES["cutout"] + label, "cutout") for s in ildiff],
    }
    return [method for name, make in makers.items() if names is None or name in names for method in make()]


def classic(name: str, network: nn.Module) -> Method:
    """A method without learning that looks at the clip and its background."""
    return Method(name, TITLES[name], lambda clip, background, _: network(clip, background), settings_of(network))


def grab_cut() -> Method:
    """GrabCut; the one row that is told something true."""
    network = GrabCut()

    def function(clip: Tensor, _: Tensor | None, true_alpha: Tensor | None) -> Tensor:
        if true_alpha is None:
            raise ValueError("GrabCut needs the true alpha for its box")
        return network(clip, true_boxes(true_alpha))

    return Method("grab_cut", TITLES["grab_cut"], function, settings_of(network))


def layer_diffuse(source: str = CODEC, device: torch.device = CPU) -> Method:
    """LayerDiffuse's transparency decoder on plain latents and the VAE's reconstruction, as the ILDiff paper has it."""
    try:
        loaded = load_network(source, "codec")
    except UserError as error:
        return Method("layer_diffuse", TITLES["layer_diffuse"], weights=source, missing=str(error))
    codec = loaded.network
    if not isinstance(codec, LatentTransparency):
        raise UserError(f"{source} holds a {type(codec).__name__}; LayerDiffuse needs a LatentTransparency")
    network = ILDiff(codec.vae, codec.decoder, adapter=None, pixel_source="reconstruction").eval()
    network = network.to(device)
    return network_method("layer_diffuse", TITLES["layer_diffuse"], network, loaded, device, decoding(network, device))


def ildiff_method(
    source: str = SHIPPED_ILDIFF, device: torch.device = CPU, title: str = TITLES["ildiff"], name: str = "ildiff"
) -> Method:
    """ILDiff from a bundle, a run or a checkpoint, in one of three uses.

    `name` is `ildiff`, `ildiff_own` before the hint's candidates are mixed in, or `cutout` for all of `glassine cutout`
    but reading and writing files, which is what its users get.
    """
    try:
        loaded = load_network(source, "ildiff")
    except UserError as error:
        return Method(name, title, weights=source, missing=str(error))
    if not isinstance(loaded.network, ILDiff):
        raise UserError(f"{source} holds a {type(loaded.network).__name__}; this row needs an ILDiff")
    network = loaded.network.to(device)
    function = cutting_out(network, device) if name == "cutout" else decoding(network, device, name != "ildiff_own")
    return network_method(name, title, network, loaded, device, function)


def decoding(network: ILDiff, device: torch.device, mixed: bool = True) -> AlphaFunction:
    """What the network reads off a clip."""

    def function(clip: Tensor, background: Tensor | None, _: Tensor | None) -> Tensor:
        return network.decode(clip.to(device), None if background is None else background.to(device), mixed=mixed)[0]

    return function


def cutting_out(network: ILDiff, device: torch.device) -> AlphaFunction:
    """What the pipeline makes of a clip's frames."""
    pipeline = CutoutPipeline(network, device=str(device))

    def function(clip: Tensor, background: Tensor | None, _: Tensor | None) -> Tensor:
        alphas = []
        for frames in rearrange((clip * 255).round().byte().cpu(), "b f c h w -> b f h w c").numpy():
            opaque = np.concatenate([frames, np.full_like(frames[..., :1], 255)], axis=-1)  # f h w 4
            results = [result[..., 3] for result, _ in pipeline.stream((frame, 1) for frame in opaque)]
            alphas.append(torch.from_numpy(np.stack(results)).float() / 255)
        return torch.stack(alphas)[:, :, None]

    return function


def network_method(
    name: str, title: str, network: ILDiff, loaded: Loaded, device: torch.device, function: AlphaFunction
) -> Method:
    """The row of a `network` that `function` uses."""
    parameters = sum(p.numel() for p in network.parameters())
    settings: dict[str, Setting] = {"pixel_source": network.pixel_source}
    return Method(
        name,
        title,
        function,
        settings,
        weights=loaded.origin,
        digest=loaded.digest,
        seed=loaded.seed,
        parameters=parameters,
        device=device,
        size_multiple=int(getattr(network.decoder, "size_multiple", 1)),
    )


def settings_of(network: nn.Module) -> dict[str, Setting]:
    """The plain numbers that a small module keeps of its constructor."""
    return {n: v for n, v in vars(network).items() if isinstance(v, int | float) and n[0] != "_" and n != "training"}
