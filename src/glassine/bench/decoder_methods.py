"""Rows of the networks that read alpha off latents: LayerDiffuse and ILDiff in its several uses."""

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from glassine.bench.loading import Loaded, load_network
from glassine.bench.method import CPU, TITLES, AlphaFunction, Method, Setting
from glassine.models.ildiff import ILDiff
from glassine.models.transparency import TransparencyVAE
from glassine.pipelines.cutout import CutoutPipeline
from glassine.utils.errors import UserError

CODEC = "glassine:tiny-transparency"
SHIPPED_ILDIFF = "glassine:tiny-ildiff"


def layer_diffuse(source: str = CODEC, device: torch.device = CPU) -> Method:
    """LayerDiffuse's transparency decoder on plain latents and the VAE's reconstruction, as the ILDiff paper has it."""
    try:
        loaded = load_network(source, "codec")
    except UserError as error:
        return Method("layer_diffuse", TITLES["layer_diffuse"], weights=source, missing=str(error))
    codec = loaded.network
    if not isinstance(codec, TransparencyVAE):
        raise UserError(f"{source} holds a {type(codec).__name__}; LayerDiffuse needs a TransparencyVAE")
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
        size_multiple=network.size_multiple,
    )
