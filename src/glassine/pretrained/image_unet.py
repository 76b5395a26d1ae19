"""The image part of a UNet from Stable Diffusion or one of our networks, and Stable Diffusion's VAE."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor, nn

from glassine.pretrained.hub import hub_errors
from glassine.pretrained.partial_loading import LoadReport, load_partial, misfit
from glassine.pretrained.run_parts import load_part, read_run_config
from glassine.pretrained.video_unet import IMAGE, SETTINGS, TEMPORAL, load_donor, setting_misfits, widen_conv_in
from glassine.pretrained.weights import SHIPPED, load_bundle
from glassine.utils.errors import UserError

# layers of our networks that image networks do not have
BEYOND = re.compile(r".*(\.processor\.|\.lora_(down|up)\.|\.motion_modules\.|time_embedding\.motion\.).*")
LAYER_ATTENTION = re.compile(r"(.+\.processor\.)(temporal_[a-z]\..+)")
MOTION = ".motion_modules."


def with_image_unet(
    unet: nn.Module, source: str, subfolder: str | None = "unet", revision: str | None = None
) -> nn.Module:
    """An `ImageUNet` or `MotionUNet` with the image part of another network, for use as a `class_path` in a YAML.

    The source's LoRA is merged, its layer attention is loaded, and Inter-Frame Attention is reinitialized from
    the self-attention.

    Args:
        unet: the network; layers that image networks do not have keep their values.
        source: a hub id of Stable Diffusion or the path of a local copy; or one of our bundles (`glassine:NAME` or a
            folder of `glassine export weights`) with an image UNet, a generator that has one, or a video UNet, whose
            temporal layers are skipped; or the checkpoint of a run that trained such a generator.
        subfolder: subfolder of the UNet in a Stable Diffusion checkpoint; null if `source` is the UNet itself.
        revision: branch, tag or commit on the hub.

    Raises:
        UserError: `source` does not exist, is another kind of network, or is incompatible.
    """
    rank_zero_info(str(load_image_unet(unet, source, subfolder, revision)))
    return unet


def load_image_unet(
    unet: nn.Module, source: str, subfolder: str | None = "unet", revision: str | None = None
) -> LoadReport:
    """Implements `with_image_unet`.

    Raises:
        UserError: see there.
    """
    donor: Any
    if own_network := load_own(source):
        donor = getattr(own_network, "unet", own_network)
        if not hasattr(donor, "attn_processors"):
            raise UserError(f"{source} must hold a UNet of diffusers' kind, got a {type(own_network).__name__}")
    else:
        donor = load_donor(source, subfolder, revision, IMAGE)
    there, here = heads(donor), heads(unet)
    names = [name for name in here if name in there and here[name] != there[name]]
    misfits = setting_misfits(donor, unet, SETTINGS)
    misfits += [misfit(f"the number of heads of {name}", here[name], there[name]) for name in names]
    state = {
        name: tensor for name, tensor in merged_state(donor).items() if MOTION not in name and not TEMPORAL.match(name)
    }
    rename = layer_attention_names(unet)
    report = load_partial(unet, widen_conv_in(state, unet), rename, BEYOND.fullmatch, source, misfits)
    if hasattr(unet, "start_inter_frame_attention"):
        unet.start_inter_frame_attention()  # type: ignore[operator]
    return report


def load_own(source: str, foreign: bool = False) -> nn.Module | None:
    """Our own network at `source`, a bundle or a run's checkpoint; None if it is another network.

    Args:
        source: name, path or hub id.
        foreign: whether a checkpoint outside a run's folder may come from another project.
    """
    path = Path(source)
    if source.startswith(SHIPPED) or (path / "config.yaml").is_file():
        return load_bundle(source)
    if path.suffix == ".ckpt" and (not foreign or (path.parent.parent / "config.yaml").is_file()):
        return load_part(path, "generator", read_run_config(path))[0]
    return None


def heads(unet: Any) -> dict[str, int]:
    """Number of heads of each spatial attention layer; it cannot be inferred from tensor shapes."""
    names = [name.removesuffix(".processor") for name in unet.attn_processors if MOTION not in name]
    return {name: unet.get_submodule(name).heads for name in names}


@torch.no_grad()
def merged_state(network: nn.Module) -> dict[str, Tensor]:
    """The state dict with LoRA merged into the weights and without Inter-Frame Attention."""
    state = {
        name: tensor
        for name, tensor in network.state_dict().items()
        if not BEYOND.fullmatch(name) or LAYER_ATTENTION.fullmatch(name) or MOTION in name
    }
    state = {name: tensor for name, tensor in state.items() if ".lora_" not in name}
    for name, layer in network.named_modules():
        if hasattr(layer, "merged_weight"):
            state[f"{name}.weight"] = layer.merged_weight()
    return state


def layer_attention_names(unet: nn.Module) -> Callable[[str], str]:
    """Rename layer attention depending on whether the network's Inter-Frame Attention wraps it."""
    own = set(unet.state_dict())

    def rename(name: str) -> str:
        match = LAYER_ATTENTION.fullmatch(name)
        if not match or name in own:
            return name
        holder = match[1].removesuffix("self_attention.")
        return next((n for n in (f"{holder}self_attention.{match[2]}", holder + match[2]) if n in own), name)

    return rename


def stable_diffusion_vae(source: str, subfolder: str | None = "vae", revision: str | None = None) -> AutoencoderKL:
    """The VAE of a Stable Diffusion checkpoint, for use as a `class_path` in a YAML.

    Args:
        source: a hub id such as `stable-diffusion-v1-5/stable-diffusion-v1-5`, or the path of a local copy.
        subfolder: subfolder of the VAE; null if `source` is the VAE itself.
        revision: branch, tag or commit on the hub.

    Raises:
        UserError: it is neither on the hub nor at the path.
    """
    with hub_errors("VAE", source):
        return AutoencoderKL.from_pretrained(source, subfolder=subfolder, revision=revision, use_safetensors=True)
