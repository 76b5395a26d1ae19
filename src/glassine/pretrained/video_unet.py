"""Weights for a video UNet: those of ModelScope or I2VGen-XL, or those of an image UNet for its spatial part.

VSD2M initializes all its methods from one text-to-image model, Stable Diffusion 2.1 (`with_image_weights`). At the tiny
scale this model is one of our networks (`load_spatial_part`).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import I2VGenXLUNet, UNet2DConditionModel, UNet3DConditionModel
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.resnet import TemporalConvLayer
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor, nn

from glassine.pretrained.hub import check_complete, hub_errors
from glassine.pretrained.partial_loading import LoadReport, load_partial, misfit
from glassine.pretrained.weights import locate, read_state
from glassine.utils.errors import UserError

VIDEO = {kind.__name__: kind for kind in (UNet3DConditionModel, I2VGenXLUNet)}
IMAGE = {UNet2DConditionModel.__name__: UNet2DConditionModel}
# the names of a temporal layer and of a tensor in it
TEMPORAL = re.compile(r"(transformer_in|.+?\.temp_(?:attentions|convs)\.\d+)\.(.+)")
# settings that may differ between networks with the same tensor shapes
SETTINGS = ("act_fn", "norm_num_groups", "norm_eps", "mid_block_scale_factor", "downsample_padding")


def with_video_weights(
    unet: nn.Module, source: str, subfolder: str | None = "unet", revision: str | None = None
) -> nn.Module:
    """A video UNet with public weights, for use as a `class_path` in a YAML; prints what was loaded.

    Args:
        unet: a `VideoUNet` for `UNet3DConditionModel` weights, or an `I2VGen` for `I2VGenXLUNet` weights. Temporal
            layers of ours keep their initialization; the diffusers layers that they wrap are loaded.
        source: a hub id such as `ali-vilab/text-to-video-ms-1.7b`, or the path of a local copy.
        subfolder: subfolder of the UNet; null if `source` is the UNet itself.
        revision: branch, tag or commit on the hub.

    Raises:
        UserError: see `load_video_weights`.
    """
    rank_zero_info(str(load_video_weights(unet, source, subfolder, revision)))
    return unet


def with_image_weights(
    unet: nn.Module, source: str, subfolder: str | None = "unet", revision: str | None = None
) -> nn.Module:
    """A `VideoUNet` whose spatial part comes from an image UNet, as in VSD2M, for use as a `class_path` in a YAML.

    Args:
        unet: the network; its temporal layers keep their initialization.
        source: a hub id such as `stabilityai/stable-diffusion-2-1`, or the path of a local copy.
        subfolder: subfolder of the UNet; null if `source` is the UNet itself.
        revision: branch, tag or commit on the hub.

    Raises:
        UserError: see `load_image_weights`.
    """
    rank_zero_info(str(load_image_weights(unet, source, subfolder, revision)))
    return unet


def load_video_weights(
    unet: nn.Module, source: str, subfolder: str | None = "unet", revision: str | None = None
) -> LoadReport:
    """Implements `with_video_weights`.

    Raises:
        UserError: `source` does not exist, is another kind of network, or is incompatible.
    """
    kinds = {name: kind for name, kind in VIDEO.items() if isinstance(unet, kind)}
    donor = load_donor(source, subfolder, revision, kinds)
    return load_unet(unet, donor.state_dict(), source, setting_misfits(donor, unet, (*SETTINGS, "attention_head_dim")))


def load_image_weights(
    unet: nn.Module, source: str, subfolder: str | None = "unet", revision: str | None = None
) -> LoadReport:
    """Implements `with_image_weights`.

    Raises:
        UserError: `source` does not exist, is another kind of network, or is incompatible.
    """
    donor = load_donor(source, subfolder, revision, IMAGE)
    own: Any = unet.config
    misfits = setting_misfits(donor, unet, SETTINGS)
    # in image UNets, what diffusers calls the head dimension is the number of heads
    heads = donor.config["num_attention_heads"] or donor.config["attention_head_dim"]
    heads = [heads] * len(own["block_out_channels"]) if isinstance(heads, int) else list(heads)
    needed = [width // own["attention_head_dim"] for width in own["block_out_channels"]]
    if heads != needed:
        misfits.append(misfit("the number of attention heads", needed, heads))
    return load_unet(unet, donor.state_dict(), source, misfits)


def setting_misfits(donor: Any, unet: Any, names: Sequence[str]) -> list[str]:
    """Differing settings of diffusers networks, as text; tensor shapes do not reveal them."""
    both = [name for name in names if name in donor.config and name in unet.config]
    different = [name for name in both if donor.config[name] != unet.config[name]]
    return [misfit(name, unet.config[name], donor.config[name]) for name in different]


def load_donor(
    source: str, subfolder: str | None, revision: str | None, kinds: Mapping[str, Callable[..., Any]]
) -> ModelMixin:
    """The network at `source`, if it is of one of the `kinds` and complete."""
    options: dict[str, Any] = {"subfolder": subfolder, "revision": revision}
    place = source if subfolder is None else f"{source}/{subfolder}"
    with hub_errors("UNet", place):
        name = UNet2DConditionModel.load_config(source, **options)["_class_name"]
        if name not in kinds:
            raise UserError(f"{source!r} must hold a {' or '.join(kinds) or 'network that fits'}, got a {name}")
        donor, report = kinds[name].from_pretrained(  # type: ignore[attr-defined]
            source, use_safetensors=True, output_loading_info=True, **options
        )
    check_complete(report, source)
    return donor


def load_unet(unet: nn.Module, state: Mapping[str, Tensor], source: str, misfits: Sequence[str] = ()) -> LoadReport:
    """`load_partial` for diffusers-style UNets; only temporal layers and its `own_layers` may be missing."""
    beside: re.Pattern[str] | None = getattr(unet, "own_layers", None)
    find = getattr(unet, "temporal_layers", dict)  # single-frame networks have none
    layers: dict[str, nn.Module] = find()

    def rename(name: str) -> str | None:
        match = TEMPORAL.match(name)
        layer = layers.get(match[1]) if match else None
        if match and hasattr(layer, "base"):  # a diffusers layer wrapped by one of ours
            return f"{match[1]}.base.{match[2]}"
        # our layers may have tensors of the same name with a different purpose
        kept = not match or isinstance(layer, TransformerTemporalModel | TemporalConvLayer)
        return name if kept else None

    def allow_missing(name: str) -> object:
        return TEMPORAL.match(name) or (beside and beside.match(name))

    return load_partial(unet, widen_conv_in(state, unet), rename, allow_missing, source, misfits)


def widen_conv_in(state: Mapping[str, Tensor], unet: nn.Module) -> Mapping[str, Tensor]:
    """`state` with its first convolution widened to the input channels of `unet`, if possible."""
    own, first, last = unet.state_dict(), "conv_in.weight", "conv_out.weight"
    if first not in state or first not in own:
        return state
    return {**state, first: with_more_inputs(state[first], own[first], len(own[last]))}


def with_more_inputs(weight: Tensor, own: Tensor, latent_channels: int) -> Tensor:
    """`weight` with zeros for input channels that only `own` has: the mean of the latents, the mask of given frames.

    The mask, one channel beyond multiples of `latent_channels`, is the last channel of both. If `own` does not have all
    channels of `weight`, `weight` is returned unchanged.
    """
    more, masks = own.shape[1] - weight.shape[1], weight.shape[1] % latent_channels
    if more <= 0 or masks > own.shape[1] % latent_channels:
        return weight
    zeros = weight.new_zeros(len(weight), more, *weight.shape[2:])
    kept = weight.shape[1] - masks
    return torch.cat([weight[:, :kept], zeros, weight[:, kept:]], dim=1)


def load_spatial_part(unet: nn.Module, source: str) -> LoadReport:
    """Load the spatial part of a `VideoUNet` from one of our networks; its temporal layers keep their values.

    Args:
        unet: the network.
        source: a bundle of a `TextToVideo` (`glassine:NAME` or a folder), or the checkpoint of a run that trained one.

    Raises:
        UserError: `source` does not exist, has no UNet, or is incompatible.
    """
    spatial = {name: value for name, value in read_inside(source, "unet").items() if not TEMPORAL.match(name)}
    if not spatial:
        raise UserError(
            f"{source} must hold a TextToVideo with a UNet: give glassine:tiny-image or a run that made one"
        )
    return load_unet(unet, spatial, source)


def read_inside(source: str, part: str) -> dict[str, Tensor]:
    """The tensors of a part of a `TextToVideo` in a bundle or a checkpoint; empty if it has no such part."""
    checkpoint = Path(source).suffix == ".ckpt"
    state = read_state(Path(source) if checkpoint else locate(source) / "model.safetensors")
    prefix = f"generator.{part}." if checkpoint else f"{part}."
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
