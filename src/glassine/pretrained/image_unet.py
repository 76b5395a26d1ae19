"""The spatial part of a network of transparent video: Stable Diffusion's, or an image network of ours.

TODO-DOC
Networks in diffusers' own format, from a hub id or a local path.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor, nn

from glassine.pretrained.video_unet import IMAGE, SETTINGS, TEMPORAL, Taken, difference, load_donor, widened
from glassine.pretrained.weights import SHIPPED, load_bundle, load_part, read_run_config
from glassine.utils.errors import UserError

# what an image network may lack that the network to be filled has
BEYOND = re.compile(r".*(\.processor\.|\.lora_(down|up)\.|\.motion_modules\.|time_embedding\.motion\.).*")
LAYER_ATTENTION = re.compile(r"(.+\.processor\.)(temporal_[a-z]\..+)")
MOTION = ".motion_modules."


def with_image_unet(
    unet: nn.Module, source: str, subfolder: str | None = "unet", revision: str | None = None
) -> nn.Module:
    """An `ImageUNet` or `MotionUNet` whose image part is that of another network, for use as a `class_path` in a YAML.

    LoRA of that network is merged, its layer attention comes along, and Inter-Frame Attention starts anew from what it
    finds.

    Args:
        unet: the network; what an image network does not have stays as it is.
        source: a hub id of Stable Diffusion or the path of a local copy; or a bundle of ours (`glassine:NAME` or a
            folder of `glassine export weights`), of an image UNet or of a generator that has one, or a video UNet whose
            temporal layers are left out; or the checkpoint of a run that trained such a generator.
        subfolder: where the UNet lies in a Stable Diffusion checkpoint; null if `source` is the UNet itself.
        revision: branch, tag or commit on the hub.

    Raises:
        UserError: nothing there, another kind of network, or an architecture that differs; the message names where.
    """
    rank_zero_info(str(take_image_unet(unet, source, subfolder, revision)))
    return unet


def take_image_unet(unet: nn.Module, source: str, subfolder: str | None = "unet", revision: str | None = None) -> Taken:
    """What `with_image_unet` does.

    Raises:
        UserError: see there.
    """
    donor: Any
    if own_network := load_own(source):
        donor = getattr(own_network, "unet", own_network)
        if not hasattr(donor, "attn_processors"):
            raise UserError(f"{source} holds a {type(own_network).__name__}, which has no UNet of diffusers' kind")
    else:
        donor = load_donor(source, subfolder, revision, IMAGE)
    own: Any = unet
    differences = [
        difference(name, donor.config[name], own.config[name])
        for name in SETTINGS
        if name in donor.config and name in own.config and donor.config[name] != own.config[name]
    ]
    there, here = heads(donor), heads(own)
    names = [name for name in here if name in there and here[name] != there[name]]
    differences += [difference(f"the number of heads of {name}", there[name], here[name]) for name in names]
    state = {
        name: tensor for name, tensor in merged_state(donor).items() if MOTION not in name and not TEMPORAL.match(name)
    }
    taken = fill(unet, placed(state, own.state_dict()), source, BEYOND, differences)
    if hasattr(own, "start_inter_frame_attention"):
        own.start_inter_frame_attention()
    return taken


def load_own(source: str, foreign: bool = False) -> nn.Module | None:
    """The network of ours at `source`, a bundle or a run's checkpoint; None where it is something else.

    Args:
        source: name, path or hub id.
        foreign: whether a checkpoint outside the folder of a run may be another project's.
    """
    path = Path(source)
    if source.startswith(SHIPPED) or (path / "config.yaml").is_file():
        return load_bundle(source)
    if path.suffix == ".ckpt" and (not foreign or (path.parent.parent / "config.yaml").is_file()):
        return load_part(path, "generator", read_run_config(path))[0]
    return None


def heads(unet: Any) -> dict[str, int]:
    """Heads of each attention layer that an image network has, too; no tensor shows them."""
    names = [name.removesuffix(".processor") for name in unet.attn_processors if MOTION not in name]
    return {name: unet.get_submodule(name).heads for name in names}


@torch.no_grad()
def merged_state(network: nn.Module) -> dict[str, Tensor]:
    """The state dict that the network would have without LoRA and Inter-Frame Attention."""
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


def placed(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Layer attention under the names of a network whose Inter-Frame Attention holds it, or does not."""
    moved = {}
    for name, tensor in state.items():
        match = LAYER_ATTENTION.fullmatch(name)
        if match and name not in own:
            holder = match[1].removesuffix("self_attention.")
            name = next((n for n in (f"{holder}self_attention.{match[2]}", holder + match[2]) if n in own), name)
        moved[name] = tensor
    return moved


def fill(
    unet: nn.Module, state: Mapping[str, Tensor], source: str, may_lack: re.Pattern[str], differences: list[str]
) -> Taken:
    """Copy `state` into the network, or say how it differs; only what `may_lack` matches may be missing."""
    own = unet.state_dict()
    state = widened(state, own)
    differences = differences + [f"{name} has no place here" for name in state if name not in own]
    differences += [
        difference(name, tuple(tensor.shape), tuple(own[name].shape))
        for name, tensor in state.items()
        if name in own and tensor.shape != own[name].shape
    ]
    fresh = [name for name in own if name not in state]
    differences += [f"{name} is missing there" for name in fresh if not may_lack.fullmatch(name)]
    if differences:
        more = f" and {len(differences) - 3} more" if len(differences) > 3 else ""
        raise UserError(
            f"{source!r} was made for another network: {'; '.join(differences[:3])}{more}. "
            "Give weights of this architecture, or the network the arguments of theirs"
        )
    unet.load_state_dict(dict(state), strict=False)
    return Taken(source, tuple(state), tuple(fresh), ())


def stable_diffusion_vae(source: str, subfolder: str | None = "vae", revision: str | None = None) -> AutoencoderKL:
    """The VAE of a Stable Diffusion checkpoint, for use as a `class_path` in a YAML.

    Args:
        source: a hub id such as `stable-diffusion-v1-5/stable-diffusion-v1-5`, or the path of a local copy.
        subfolder: where the VAE lies in it; null if `source` is the VAE itself.
        revision: branch, tag or commit on the hub.

    Raises:
        UserError: neither the hub nor the path has it.
    """
    try:
        return AutoencoderKL.from_pretrained(source, subfolder=subfolder, revision=revision, use_safetensors=True)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"no VAE at {source!r} ({reason}): give a reachable hub id or a local folder") from error
