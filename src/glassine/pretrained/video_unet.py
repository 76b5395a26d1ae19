"""Public weights for a video UNet: ModelScope's and I2VGen-XL's own, or Stable Diffusion's for the spatial part.

TODO-DOC
The spatial part of a video UNet from a network of ours: an image network's, or another video network's.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import I2VGenXLUNet, UNet2DConditionModel, UNet3DConditionModel
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.resnet import TemporalConvLayer
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from safetensors import SafetensorError
from torch import Tensor, nn

from glassine.pretrained.weights import locate, read_state
from glassine.utils.errors import UserError

VIDEO = {kind.__name__: kind for kind in (UNet3DConditionModel, I2VGenXLUNet)}
IMAGE = {UNet2DConditionModel.__name__: UNet2DConditionModel}
# a temporal layer's name and that of a tensor in it
TEMPORAL = re.compile(r"(transformer_in|.+?\.temp_(?:attentions|convs)\.\d+)\.(.+)")
# what two networks can differ in without a tensor that shows it
SETTINGS = ("act_fn", "norm_num_groups", "norm_eps", "mid_block_scale_factor", "downsample_padding")


@dataclass(frozen=True)
class Taken:
    """What became of a checkpoint's weights.

    Attributes:
        origin: where they come from.
        taken: tensors of the network that were filled.
        fresh: tensors that the checkpoint does not have, of temporal layers or of an image's; these keep their
            initialization.
        unused: tensors of the checkpoint's temporal layers that have no place in the network.
    """

    origin: str
    taken: tuple[str, ...]
    fresh: tuple[str, ...]
    unused: tuple[str, ...]

    def __str__(self) -> str:
        """A line for each of the three that there is."""
        lines = [f"{len(self.taken)} tensors taken from {self.origin}"]
        lines += [f"new, as initialized: {part}" for part in by_layer(self.fresh)]
        lines += [f"there, but not used: {part}" for part in by_layer(self.unused)]
        return "\n".join(lines)


def with_video_weights(
    unet: nn.Module, source: str, subfolder: str | None = "unet", revision: str | None = None
) -> nn.Module:
    """A video UNet with public weights, for use as a `class_path` in a YAML; says what was taken.

    Args:
        unet: a `VideoUNet`, for a folder of `UNet3DConditionModel`, or an `I2VGen`, for one of `I2VGenXLUNet`. Layers
            that its method has put in keep their initialization, but for those of diffusers' layers that they keep.
        source: a hub id such as `ali-vilab/text-to-video-ms-1.7b`, or the path of a local copy.
        subfolder: where the UNet lies in it; null if `source` is the UNet itself.
        revision: branch, tag or commit on the hub.

    Raises:
        UserError: see `take_video_weights`.
    """
    rank_zero_info(str(take_video_weights(unet, source, subfolder, revision)))
    return unet


def with_image_weights(
    unet: nn.Module, source: str, subfolder: str | None = "unet", revision: str | None = None
) -> nn.Module:
    """A `VideoUNet` whose spatial part is an image UNet's, as VSD2M starts; for use as a `class_path` in a YAML.

    Args:
        unet: the network; its temporal layers keep their initialization.
        source: a hub id such as `stabilityai/stable-diffusion-2-1`, or the path of a local copy.
        subfolder: where the UNet lies in it; null if `source` is the UNet itself.
        revision: branch, tag or commit on the hub.

    Raises:
        UserError: see `take_image_weights`.
    """
    rank_zero_info(str(take_image_weights(unet, source, subfolder, revision)))
    return unet


def take_video_weights(
    unet: nn.Module, source: str, subfolder: str | None = "unet", revision: str | None = None
) -> Taken:
    """What `with_video_weights` does.

    Raises:
        UserError: nothing there, another kind of network, or an architecture that differs; the message names where.
    """
    kinds = {name: kind for name, kind in VIDEO.items() if isinstance(unet, kind)}
    donor = load_donor(source, subfolder, revision, kinds)
    differences = [
        difference(name, donor.config[name], unet.config[name])  # type: ignore[index]
        for name in (*SETTINGS, "attention_head_dim")
        if name in donor.config and donor.config[name] != unet.config[name]  # type: ignore[index]
    ]
    return take(unet, donor.state_dict(), source, differences)


def take_image_weights(
    unet: nn.Module, source: str, subfolder: str | None = "unet", revision: str | None = None
) -> Taken:
    """What `with_image_weights` does.

    Raises:
        UserError: nothing there, another kind of network, or an architecture that differs; the message names where.
    """
    donor = load_donor(source, subfolder, revision, IMAGE)
    own: Any = unet.config
    differences = [
        difference(name, donor.config[name], own[name])
        for name in SETTINGS
        if name in donor.config and donor.config[name] != own[name]
    ]
    # what diffusers calls the dimension of a head is their number in an image UNet
    heads = donor.config["num_attention_heads"] or donor.config["attention_head_dim"]
    heads = [heads] * len(own["block_out_channels"]) if isinstance(heads, int) else list(heads)
    needed = [width // own["attention_head_dim"] for width in own["block_out_channels"]]
    if heads != needed:
        differences.append(difference("the number of attention heads", heads, needed))
    return take(unet, donor.state_dict(), source, differences)


def load_donor(
    source: str, subfolder: str | None, revision: str | None, kinds: Mapping[str, Callable[..., Any]]
) -> ModelMixin:
    """The network at `source`, if it is of one of the `kinds` and whole."""
    options: dict[str, Any] = {"subfolder": subfolder, "revision": revision}
    try:
        name = UNet2DConditionModel.load_config(source, **options)["_class_name"]
        if name not in kinds:
            raise UserError(f"{source!r} holds a {name}; this network takes weights of {' or '.join(kinds) or 'none'}")
        donor, report = kinds[name].from_pretrained(  # type: ignore[attr-defined]
            source, use_safetensors=True, output_loading_info=True, **options
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().partition("\n")[0][:200]
        raise UserError(
            f"no UNet at {source!r}, folder {subfolder!r} ({reason}): give a reachable hub id or a local folder"
        ) from error
    if missing := sorted(report["missing_keys"]):
        # diffusers would warn and go on with random weights
        raise UserError(f"{source!r} lacks {len(missing)} of its tensors, {missing[0]} among them: fetch it again")
    return donor


@torch.no_grad()
def take(unet: nn.Module, state: dict[str, Tensor], source: str, differences: list[str]) -> Taken:
    """Copy what fits from `state`; only temporal layers may lack something or be left over.

    What a network has beside an image UNet's layers, its `own_layers`, may be missing there, too.
    """
    beside: re.Pattern[str] | None = getattr(unet, "own_layers", None)
    find = getattr(unet, "temporal_layers", dict)  # a network of single frames has none
    layers: dict[str, nn.Module] = find()
    own = unet.state_dict()
    given: dict[str, Tensor] = {}
    unused = []
    for name, tensor in widened(state, own).items():
        match = TEMPORAL.match(name)
        layer = layers.get(match[1]) if match else None
        if match and hasattr(layer, "base"):
            name = f"{match[1]}.base.{match[2]}"
        elif match and not isinstance(layer, TransformerTemporalModel | TemporalConvLayer):
            unused.append(name)  # even where another method's layer has tensors of that name
            continue
        if name not in own:
            differences.append(f"{name} has no place here")
            continue
        given[name] = tensor
        if given[name].shape != own[name].shape:
            differences.append(difference(name, tuple(given[name].shape), tuple(own[name].shape)))
    fresh = [name for name in own if name not in given]
    needed = [name for name in fresh if not TEMPORAL.match(name) and not (beside and beside.match(name))]
    differences += [f"{name} is missing there" for name in needed]
    if differences:
        more = f" and {len(differences) - 3} more" if len(differences) > 3 else ""
        raise UserError(
            f"{source!r} was made for another network: {'; '.join(differences[:3])}{more}. "
            "Give weights of this architecture, or the network the arguments of theirs"
        )
    unet.load_state_dict(given, strict=False)
    return Taken(source, tuple(given), tuple(fresh), tuple(unused))


def widened(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """`state` with a first layer that reads as much as that of `own`, as far as it can be widened."""
    first, last = "conv_in.weight", "conv_out.weight"
    if first not in state or first not in own:
        return state
    return {**state, first: with_more_inputs(state[first], own[first], len(own[last]))}


def with_more_inputs(weight: Tensor, own: Tensor, latent_channels: int) -> Tensor:
    """`weight` with zeros for input channels that only `own` has: a mean of the latents, a mask of given frames.

    The mask, one channel beyond multiples of `latent_channels`, is the last one in both. Where `own` cannot take all
    that `weight` has, this stays as it is.
    """
    more, masks = own.shape[1] - weight.shape[1], weight.shape[1] % latent_channels
    if more <= 0 or masks > own.shape[1] % latent_channels:
        return weight
    zeros = weight.new_zeros(len(weight), more, *weight.shape[2:])
    kept = weight.shape[1] - masks
    return torch.cat([weight[:, :kept], zeros, weight[:, kept:]], dim=1)


def by_layer(names: tuple[str, ...]) -> list[str]:
    """Tensors in few words: layers that have the same ones together."""
    layers: dict[str, list[str]] = {}
    for name in names:
        match = TEMPORAL.match(name)
        layer, tensor = match.groups() if match else name.split(".", 1)
        layers.setdefault(layer, []).append(tensor)
    alike: dict[tuple[str, ...], list[str]] = {}
    for layer, tensors in layers.items():
        alike.setdefault(tuple(tensors), []).append(layer)
    return [f"{shortened(tensors)} in {shortened(layers)}" for tensors, layers in alike.items()]


def shortened(names: Sequence[str]) -> str:
    """The first two names and how many more there are."""
    return ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")


def difference(name: str, there: Any, here: Any) -> str:
    """How one thing differs, in words."""
    return f"{name} is {there} there, {here} here"


def take_spatial_part(unet: nn.Module, source: str) -> Taken:
    """Fill the spatial part of a `VideoUNet`; its temporal layers stay as they are.

    VSD2M starts all its methods from one text-to-image model, Stable Diffusion 2.1 (`with_image_weights`). At the tiny
    scale that model is ours.

    Args:
        unet: the network.
        source: a bundle of a `TextToVideo` (`glassine:NAME` or a folder), or the checkpoint of a run that trained one.

    Raises:
        UserError: nothing there, or the spatial part of another architecture; the message names where.
    """
    own = unet.state_dict()
    spatial = {  # bundles are of half precision
        name: tensor.to(own[name].dtype) if name in own else tensor
        for name, tensor in read_inside(source, "unet").items()
        if not TEMPORAL.match(name)
    }
    if not spatial:
        raise UserError(f"{source} holds no UNet of a TextToVideo; give glassine:tiny-image or a run of its training")
    return take(unet, spatial, source, [])


def read_inside(source: str, part: str) -> dict[str, Tensor]:
    """The tensors of a part of a `TextToVideo` in a bundle or a checkpoint; none where it has no such part."""
    checkpoint = Path(source).suffix == ".ckpt"
    state = read_state(Path(source) if checkpoint else locate(source) / "model.safetensors")
    prefix = f"generator.{part}." if checkpoint else f"{part}."
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
