"""LayerDiffuse's official weights (arXiv 2402.17113): the transparency VAE, and the attention for SD 1.5.

Names and order of the attention are those of `sd-forge-layerdiffuse` (`AttentionSharingPatcher` in
`lib_layerdiffusion/attention_sharing.py`, with `frames=1, use_control=False`): `hookers.layers.N.` for the N-th of the
UNet's 32 attention layers, then `to_{q,k,v,out}_lora.0.{down,up}.weight` of rank 256 and
`temporal_{i,n,q,k,v,o}.{weight,bias}`: 640 tensors.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from glassine.pretrained.partial_loading import Shape, load_partial, refuse_misfits, shape_misfits
from glassine.pretrained.weights import read_state
from glassine.utils.errors import UserError


def with_codec_weights(codec: nn.Module, encoder: str, decoder: str) -> nn.Module:
    """A `TransparencyVAE` with official weights, for use as a `class_path` in a YAML.

    Args:
        codec: the network; its VAE keeps its weights.
        encoder: path of `layer_sd15_vae_transparent_encoder.safetensors`.
        decoder: path of `layer_sd15_vae_transparent_decoder.safetensors`.

    Raises:
        UserError: a file is missing or unreadable, or is incompatible.
    """
    parts: Any = codec
    for part, source in ((parts.encoder, encoder), (parts.decoder, decoder)):
        load_partial(part, read_state(Path(source)), source=source)
    return codec


FILE = "layer_sd15_transparent_attn.safetensors"
STAGES = ("down_blocks", "up_blocks", "mid_block")
LAYER = "hookers.layers.{}."
PROJECTIONS = {"to_q": "to_q_lora", "to_k": "to_k_lora", "to_v": "to_v_lora", "to_out.0": "to_out_lora"}
LINEARS = ("temporal_i", "temporal_q", "temporal_k", "temporal_v", "temporal_o")
# attention over a single layer is its value, see `glassine.nn.layout_adapter`
WITHOUT_EFFECT = ("temporal_q", "temporal_k")


def with_layer_diffuse(unet: nn.Module, weights: str) -> nn.Module:
    """A UNet of SD 1.5's layout that generates transparent images, for use as a `class_path` in a YAML.

    LoRA is merged into the projections, so their weights must be loaded first, and this must be done only once; the
    other tensors go into the network's `LayerAttention`.

    Args:
        unet: an `ImageUNet` or a `MotionUNet` with `layer_attention`.
        weights: path of `layer_sd15_transparent_attn.safetensors`.

    Raises:
        UserError: the file is missing, unreadable or incompatible.
    """
    apply(unet, read_state(Path(weights)), weights)
    own: Any = unet
    if hasattr(own, "start_inter_frame_attention"):
        own.start_inter_frame_attention()
    return unet


def attention_names(unet: nn.Module) -> list[str]:
    """The spatial attention layers in the file's order: down blocks, up blocks, mid block."""
    processors: Any = unet.attn_processors
    names = [name.removesuffix(".processor") for name in processors if ".motion_modules." not in name]
    return sorted(names, key=lambda name: STAGES.index(name.partition(".")[0]))  # stable within a stage


def file_shapes(unet: nn.Module, rank: int = 256) -> dict[str, Shape]:
    """Names and shapes of the official file's tensors for a UNet of this size."""
    shapes: dict[str, Shape] = {}
    for number, name in enumerate(attention_names(unet)):
        attn = unet.get_submodule(name)
        for ours, theirs in PROJECTIONS.items():
            layer: Any = attn.get_submodule(ours)
            shapes[f"{LAYER.format(number)}{theirs}.0.down.weight"] = (rank, layer.in_features)
            shapes[f"{LAYER.format(number)}{theirs}.0.up.weight"] = (layer.out_features, rank)
        width = int(attn.get_submodule("to_k").out_features)  # type: ignore[arg-type]
        for linear in (*LINEARS, "temporal_n"):
            shapes[f"{LAYER.format(number)}{linear}.weight"] = (width,) if linear == "temporal_n" else (width, width)
            shapes[f"{LAYER.format(number)}{linear}.bias"] = (width,)
    return shapes


def check(unet: nn.Module, state: Mapping[str, Tensor], origin: str) -> None:
    """Raise UserError if `state` is not the right file for this network."""
    if not any(name.startswith("hookers.layers.") for name in state):
        raise UserError(f"{origin} must hold LayerDiffuse's attention for SD 1.5, not SDXL's: give {FILE}")
    if any("_lora.1." in name or "control_convs" in name for name in state):
        raise UserError(f"{origin} must be the model of a single layer without conditions: give {FILE}")
    down = state.get(f"{LAYER.format(0)}to_q_lora.0.down.weight")
    needed = file_shapes(unet) if down is None else file_shapes(unet, len(down))
    refuse_misfits(unet, shape_misfits(needed, {name: tuple(tensor.shape) for name, tensor in state.items()}), origin)


@torch.no_grad()
def apply(unet: nn.Module, state: Mapping[str, Tensor], origin: str) -> None:
    """Merge LoRA and load the layer attention.

    Raises:
        UserError: the file is incompatible, or the network has no layer attention.
    """
    check(unet, state, origin)
    layers: list[Any] = [unet.get_submodule(name) for name in attention_names(unet)]
    processors = [getattr(attn.processor, "self_attention", attn.processor) for attn in layers]
    if not all(hasattr(processor, "temporal_o") for processor in processors):
        raise UserError(f"{type(unet).__name__} must have layer attention: give it layer_attention: true")
    for number, (attn, processor) in enumerate(zip(layers, processors, strict=True)):
        part = {n.removeprefix(LAYER.format(number)): t for n, t in state.items() if n.startswith(LAYER.format(number))}
        for ours, theirs in PROJECTIONS.items():
            down, up = (part[f"{theirs}.0.{end}.weight"].float() for end in ("down", "up"))
            weight = attn.get_submodule(ours).weight
            weight.copy_(weight.float() + up @ down)
        load_partial(processor, part, layer_tensor, source=origin)


def layer_tensor(name: str) -> str | None:
    """The name in `LayerAttention`; None for LoRA and for tensors without effect."""
    return name if name.startswith("temporal_") and not name.startswith(WITHOUT_EFFECT) else None
