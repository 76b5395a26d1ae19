"""Rows of the matting table that use a network or a prompt.

LayerDiffuse and ILDiff decode alpha from latents. The ablated variants of ILDiff are loaded from the runs of `glassine
benchmark variants`. GrabCut, SAM, SAM-2 and Matting Anything get a prompt made from the target alpha.
"""

import dataclasses
import re
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from glassine.bench.loading import Loaded, load_network, shown
from glassine.bench.methods import (
    CPU,
    PAPER_CONDITIONS,
    RUNS,
    SD15,
    SHIPPED_ILDIFF,
    SHIPPED_MATTING,
    SHIPPED_SAM,
    SHIPPED_TRANSPARENCY,
    TITLES,
    AlphaFunction,
    AlphaMethod,
    Setting,
    settings_of,
)
from glassine.bench.official import load_codec, load_matting_anything, load_sam
from glassine.bench.run import steps_of
from glassine.models.classic import GrabCut, true_boxes
from glassine.models.ildiff import ILDiff
from glassine.models.matting_anything import MattingAnything
from glassine.models.prompted_sam import PromptedSam
from glassine.models.transparency import TransparencyVAE
from glassine.pipelines.cutout import CutoutPipeline
from glassine.utils.errors import UserError

# Row -> prefix of its run folders. These ablation arms are trained for few steps, so they are compared with each other
# and with the paper's ILDiff after the same number of steps, not with the shipped one. They are therefore evaluated
# only under the conditions of the paper's table.
ARMS = {
    "layer_diffuse_tuned": "variants-no_adapter",
    "ildiff_paper": "depth5",
    "ildiff_no_layout": "variants-no_layout",
    "ildiff_no_time": "depth0",
    "ildiff_explicit_masks": "variants-explicit_masks",
}


def layer_diffuse(
    source: str = SHIPPED_TRANSPARENCY, device: torch.device = CPU, encoder: str | None = None, vae: str = SD15
) -> AlphaMethod:
    """LayerDiffuse's transparency decoder on plain latents and the VAE's reconstruction, as in the ILDiff paper.

    Args:
        source: see `load_codec`.
        device: where the network runs.
        encoder: see `load_codec`.
        vae: see `load_codec`.

    Returns:
        The row; with `missing` set and no function if the weights cannot be loaded.

    Raises:
        UserError: the weights are of another network.
    """
    try:
        loaded = load_codec(source, encoder, vae)
    except UserError as error:
        return AlphaMethod("layer_diffuse", TITLES["layer_diffuse"], weights=source, missing=str(error))
    codec = loaded.network
    if not isinstance(codec, TransparencyVAE):
        raise UserError(f"{source} must be a TransparencyVAE for LayerDiffuse, got a {type(codec).__name__}")
    network = ILDiff(codec.vae, codec.decoder, adapter=None, pixel_source="reconstruction").eval()
    network = network.to(device)
    return network_method("layer_diffuse", TITLES["layer_diffuse"], network, loaded, device, decoding(network, device))


def ildiff_method(
    source: str = SHIPPED_ILDIFF,
    device: torch.device = CPU,
    title: str = TITLES["ildiff"],
    name: str = "ildiff",
    failures: bool = False,
) -> AlphaMethod:
    """ILDiff from a bundle, a run or a checkpoint, used in one of three ways.

    Args:
        source: see `load_network`.
        device: where the network runs.
        title: of the row.
        name: `ildiff_own` for the decoder's alpha before the hint's candidates are mixed in; `cutout` for the whole
            pipeline of `glassine cutout` except reading and writing files; any other name, such as `ildiff`, for the
            network's alpha with the candidates mixed in.
        failures: also score the decoder's colors and harmlessness, see `with_failure_scores`.

    Returns:
        The row; with `missing` set and no function if the weights cannot be loaded.

    Raises:
        UserError: the weights are of another network.
    """
    try:
        loaded = load_network(source, "ildiff")
    except UserError as error:
        return AlphaMethod(name, title, weights=source, missing=str(error))
    if not isinstance(loaded.network, ILDiff):
        raise UserError(f"{source} must be an ILDiff, got a {type(loaded.network).__name__}")
    network = loaded.network.to(device)
    function = cutting_out(network, device) if name == "cutout" else decoding(network, device, name != "ildiff_own")
    method = network_method(name, title, network, loaded, device, function)
    return with_failure_scores(method, network) if failures else method


def decoding(network: ILDiff, device: torch.device, mixed: bool = True) -> AlphaFunction:
    """A function that decodes alpha with the network; `mixed` adds the hint's candidates."""

    def function(clip: Tensor, background: Tensor | None, _: Tensor | None) -> Tensor:
        return network.decode(clip.to(device), None if background is None else background.to(device), mixed=mixed)[0]

    return function


def with_failure_scores(method: AlphaMethod, network: ILDiff) -> AlphaMethod:
    """The row with two more scores of its network, for ablations: `decoder_rgb` and `harmlessness`, dB.

    The former is the PSNR of the decoder's own colors, weighted by the true alpha; the latter of the clip after the
    frozen VAE has decoded the adjusted latents, which L_p trains (section II-B).
    """

    @torch.inference_mode()
    def more(clip: Tensor, alpha: Tensor, color: Tensor) -> dict[str, float]:
        clip, alpha, color = (x.to(method.device) for x in (clip, alpha, color))
        predicted = network.decode(clip)[1]
        wrong = ((predicted - color).square().mean(2, keepdim=True) * alpha).sum() / alpha.sum().clamp(min=1e-6)
        decoded = [network.reconstruct(latents) for latents in network.adjusted_latents(clip).split(1, dim=1)]
        harm = F.mse_loss((torch.cat(decoded, dim=1) / 2 + 0.5).clamp(0, 1), clip)
        return {"decoder_rgb": decibels(wrong), "harmlessness": decibels(harm)}

    return dataclasses.replace(method, more=more, more_names=("decoder_rgb", "harmlessness"))


def decibels(squared_error: Tensor) -> float:
    """PSNR of values in [0, 1], at most 100 dB."""
    return float(-10 * squared_error.clamp(min=1e-10).log10())


def cutting_out(network: ILDiff, device: torch.device) -> AlphaFunction:
    """A function that computes alpha with the cut-out pipeline, on frames rounded to 8 bits."""
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
) -> AlphaMethod:
    """The row of an ILDiff whose alpha `function` computes."""
    parameters = sum(p.numel() for p in network.parameters())
    settings: dict[str, Setting] = {"pixel_source": network.pixel_source}
    return AlphaMethod(
        name,
        title,
        settings,
        function=function,
        weights=loaded.origin,
        digest=loaded.digest,
        seed=loaded.seed,
        parameters=parameters,
        device=device,
        size_multiple=network.size_multiple,
    )


def variant(name: str, runs: Path = RUNS, device: torch.device = CPU) -> list[AlphaMethod]:
    """The row of a variant, one method for each seed, from the runs with the most steps.

    Args:
        name: key of `ARMS`.
        runs: folder of the ablation's runs.
        device: where the network runs.

    Returns:
        The finished seeds; one method with `missing` set if there is none.
    """
    pattern = re.compile(re.escape(ARMS[name]) + r"-seed(\d+)-(\d+)steps")
    found = [(match, path) for path in runs.glob("*") if (match := pattern.fullmatch(path.name))]
    if not found:
        return [AlphaMethod(name, TITLES[name], missing="no run of it here; `glassine benchmark variants` trains it")]
    steps = max(int(match[2]) for match, _ in found)
    seeds = {int(match[1]): path for match, path in found if int(match[2]) == steps}
    done = {seed: steps_of(path / "checkpoints" / "last.ckpt") for seed, path in seeds.items()}
    finished = [path for seed, path in sorted(seeds.items()) if done[seed] >= steps]
    if not finished:
        missing = f"its run has {max(done.values())} of {steps} steps; `glassine benchmark variants` resumes it"
        return [AlphaMethod(name, TITLES[name], missing=missing)]
    rows = [ildiff_method(str(path), device, TITLES[name], name) for path in finished]
    return [dataclasses.replace(row, conditions=PAPER_CONDITIONS) for row in rows]


def grab_cut() -> AlphaMethod:
    """GrabCut, initialized with the bounding box of the true alpha."""
    network = GrabCut()

    def function(clip: Tensor, _: Tensor | None, target: Tensor | None) -> Tensor:
        if target is None:
            raise ValueError("target must be given: GrabCut gets its box from it")
        return network(clip, true_boxes(target))

    return AlphaMethod("grab_cut", TITLES["grab_cut"], settings_of(network), function=function)


def sam(source: str = SHIPPED_SAM, device: torch.device = CPU) -> AlphaMethod:
    """SAM on single frames, prompted with the center and the bounding box of the true alpha, as in the ILDiff paper."""
    try:
        loaded = load_sam(source)
        network = PromptedSam(loaded.network).to(device)
    except UserError as error:
        return AlphaMethod("sam", TITLES["sam"], weights=source, missing=str(error))
    except TypeError as error:
        raise UserError(f"{source}: {error}") from error
    return prompted("sam", network, loaded, device)


def matting_anything(
    source: str = SHIPPED_MATTING, device: torch.device = CPU, sam_source: str = SHIPPED_SAM
) -> AlphaMethod:
    """Matting Anything on single frames, with SAM's prompts; the authors' file also needs Meta's file `sam_source`."""
    name = "matting_anything"
    try:
        loaded = load_matting_anything(source, sam_source)
    except UserError as error:
        return AlphaMethod(name, TITLES[name], weights=source, missing=str(error))
    if not isinstance(loaded.network, MattingAnything):
        raise UserError(f"{source} must be a MattingAnything, got a {type(loaded.network).__name__}")
    return prompted(name, loaded.network.to(device), loaded, device)


def sam2(source: str | None = None, device: torch.device = CPU) -> AlphaMethod:
    """SAM-2 on the whole clip, prompted on one frame. No weights ship: it is too large to train on a CPU."""
    if source is None:
        missing = "needs weights: give --sam2 facebook/sam2.1-hiera-tiny, the folder of a copy, or Meta's .pt file"
        return AlphaMethod("sam2", TITLES["sam2"], missing=missing)
    from glassine.models.prompted_sam import PromptedSam2  # transformers takes seconds to import
    from glassine.pretrained.sam import sam2_video

    try:
        origin = shown(Path(source)) if Path(source).is_file() else source
        loaded = Loaded(PromptedSam2(sam2_video(source)), origin)
    except UserError as error:
        return AlphaMethod("sam2", TITLES["sam2"], weights=source, missing=str(error))
    return prompted("sam2", loaded.network.to(device), loaded, device)


def prompted(name: str, network: nn.Module, loaded: Loaded, device: torch.device) -> AlphaMethod:
    """The row of a network that is called with the clip and the true alpha, from which it makes its prompts."""

    def function(clip: Tensor, _: Tensor | None, target: Tensor | None) -> Tensor:
        if target is None:
            raise ValueError(f"target must be given: {name} gets its prompts from it")
        return decode(clip.to(device), target.to(device))

    decode = network.decode if isinstance(network, MattingAnything) else network
    return AlphaMethod(
        name,
        TITLES[name],
        settings_of(network),
        function=function,
        weights=loaded.origin,
        digest=loaded.digest,
        seed=loaded.seed,
        parameters=sum(p.numel() for p in network.parameters()),
        device=device,
    )
