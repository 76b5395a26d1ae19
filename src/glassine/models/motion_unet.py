"""The network of Layer-Animate's second stage: an image UNet, motion modules, and Inter-Frame Attention."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal, get_args

import torch
from diffusers import UNetMotionModel
from diffusers.configuration_utils import register_to_config
from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D, UNetMotionOutput
from einops import repeat
from torch import Tensor, nn

from glassine.models.image_unet import SIZES, inherit_arguments
from glassine.models.video_unet import TemporalUNet
from glassine.nn.conditioning import MotionTimeEmbedding
from glassine.nn.diffusion import checkpoint_layer, zero_module
from glassine.nn.inter_frame_attention import (
    CurrentPass,
    InterFrameAttention,
    Mode,
    Reference,
    add_inter_frame_attention,
    reference_frame,
)
from glassine.nn.layout_adapter import add_layer_attention
from glassine.nn.lora import add_lora
from glassine.utils.errors import UserError

MOTION_SIZES = (
    "num_attention_heads", "use_linear_projection", "motion_max_seq_length", "motion_num_attention_heads",
    "use_motion_mid_block",
)  # fmt: skip
LAYER = re.compile(r".+\.(resnets|attentions|motion_modules)\.\d+")
Part = Literal[
    "spatial", "motion_modules", "inter_frame_attention", "motion_amount", "spatial_adapters", "motion_adapters"
]


class MotionUNet(TemporalUNet, UNetMotionModel):
    """diffusers' `UNetMotionModel` with Inter-Frame Attention and the call signature of our video UNets.

    Its weights are those of an image UNet (see `glassine.pretrained.image_unet`), those of a `MotionAdapter`
    (AnimateDiff, arXiv 2307.04725; see `glassine.pretrained.motion_adapter`) and new ones; diffusers' weights keep
    their names. The defaults are SD 1.5 with AnimateDiff v2: 859.521 M and 453.209 M parameters. As in AnimateDiff's
    code, but unlike in diffusers, the last layers of motion modules are zero-initialized, so that the untrained network
    equals the image UNet on every frame. As in diffusers, but unlike in AnimateDiff's code, spatial GroupNorms compute
    their statistics over all frames of a clip, including the reference frame.

    Arguments up to `use_motion_mid_block` are diffusers'. Arguments of an image UNet keep their names, with
    `CrossAttnDownBlockMotion` instead of `CrossAttnDownBlock2D`. `motion_max_seq_length` is the maximum number of
    frames: 32 in AnimateDiff v2, 24 in v1. v1 has no `use_motion_mid_block`.

    Args:
        inter_frame_attention: `add` is Layer-Animate, `replace` is described in `InterFrameAttention`, None is none.
        reference_frame: position of the base image, also without Inter-Frame Attention; see `InterFrameAttention`.
        base_image: whether clips are generated around a base image, which is generated first if none is given. None
            means only with Inter-Frame Attention.
        layer_attention: whether the spatial attention layers are LayerDiffuse's, see `LayerAttention`.
        motion_buckets: number of buckets for the amount of motion, a condition of the network; 0 for none.
        spatial_rank: rank of LoRA in the spatial attention layers (Still-Moving's spatial adapters); 0 for none.
        motion_rank: rank of LoRA in the motion modules (Still-Moving's motion adapters); 0 for none.

    Raises:
        UserError: an argument out of range.
    """

    # layers that an image UNet or a motion adapter does not have
    own_layers = re.compile(r".*(\.processor\.|\.lora_(down|up)\.|\.motion_modules\.|time_embedding\.motion\.).*")

    @register_to_config
    @inherit_arguments(UNetMotionModel, *SIZES, *MOTION_SIZES, cross_attention_dim=768)
    def __init__(
        self,
        inherited: dict[str, Any],
        inter_frame_attention: Mode | None = "add",
        reference_frame: Reference = "middle",
        base_image: bool | None = None,
        layer_attention: bool = False,
        motion_buckets: int = 0,
        spatial_rank: int = 0,
        motion_rank: int = 0,
    ) -> None:
        super().__init__(**inherited)
        for layer in self.temporal_layers().values():
            zero_module(layer.get_submodule("proj_out"))
        self.current = CurrentPass()
        # in the constructor: `from_pretrained` fills only layers that exist when it returns
        if layer_attention:
            add_layer_attention(self)
        if inter_frame_attention is not None:
            add_inter_frame_attention(self, self.current, reference_frame, inter_frame_attention)
        if motion_buckets:
            waves = inherited["block_out_channels"][0]
            width = 4 * waves
            self.time_embedding = MotionTimeEmbedding(waves, width, buckets=motion_buckets)
        if spatial_rank:
            add_lora(self, spatial_rank, "spatial")
        if motion_rank:
            add_lora(self, motion_rank, "motion")

    def reference_index(self, frames: int) -> int:
        """Index of the reference frame in a clip of `frames` frames."""
        return reference_frame(self.config["reference_frame"], frames)

    def temporal_layers(self) -> dict[str, nn.Module]:
        """All motion modules by name."""
        return {name: layer for name, layer in self.named_modules() if isinstance(layer, AnimateDiffTransformer3D)}

    def start_inter_frame_attention(self) -> None:
        """Initialize Inter-Frame Attention from the self-attention; loaders call this after loading those weights."""
        for layer in self.modules():
            processor = getattr(layer, "processor", None)
            if isinstance(processor, InterFrameAttention):
                processor.start_from(layer)

    def train_only(self, *parts: Part) -> None:
        """Train these parts and freeze all others; every parameter belongs to exactly one part.

        Raises:
            UserError: an unknown part, or one that this network does not have.
        """
        for part in parts:
            if part not in get_args(Part):
                raise UserError(f"part must be one of {', '.join(get_args(Part))}, got {part!r}")
            if not any(part_of(name) == part for name, _ in self.named_parameters()):
                raise UserError(f"this MotionUNet has no {part} to train: its arguments add them")
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(part_of(name) in parts)

    def freeze_spatial(self) -> None:
        """Train only the motion modules, as AnimateDiff does."""
        self.train_only("motion_modules")

    @contextmanager
    def without_motion(self) -> Iterator[None]:
        """Context in which this is the image UNet, with independent frames; for sampling only, not for training."""
        layers = list(self.temporal_layers().values())
        before = [layer.__dict__.get("forward") for layer in layers]
        for layer in layers:
            layer.forward = same
        self.current.still = True
        try:
            yield
        finally:
            self.current.still = False
            for layer, forward in zip(layers, before, strict=True):
                del layer.forward
                if forward is not None:
                    layer.forward = forward

    def _set_gradient_checkpointing(self, enable: bool = True, gradient_checkpointing_func: Any = None) -> None:
        """Called by diffusers' `enable_gradient_checkpointing`; diffusers' version misses some motion modules."""
        for name, layer in self.named_modules():
            if LAYER.fullmatch(name):
                checkpoint_layer(layer, enable)
                if enable and ".attentions." in name:
                    layer.forward = partial(self.current.recomputed, layer)
        self.gradient_checkpointing = enable

    def check_frames(self, frames: int) -> None:
        """Raise UserError if there are more frames than positions of the motion modules."""
        if frames > self.config["motion_max_seq_length"]:
            most = self.config["motion_max_seq_length"]
            raise UserError(f"num_frames must be at most {most} for these motion modules, got {frames}")

    def check_inputs(self, sample: Tensor, prompt_embeds: Tensor) -> None:
        """Raise UserError if the shape of `sample` (`b c f h w`) or `prompt_embeds` (`b n d`) does not fit."""
        super().check_inputs(sample, prompt_embeds)
        self.check_frames(sample.shape[2])

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | float | int,
        encoder_hidden_states: Tensor,
        motion: Tensor | None = None,
        return_dict: bool = True,
    ) -> UNetMotionOutput | tuple[Tensor]:
        """The prediction for noisy latents, `b c f h w`.

        Args:
            sample: noisy latents `b c f h w`.
            timestep: `b`, or one for all.
            encoder_hidden_states: text embeddings `b n d`.
            motion: buckets `b` from 0; the value `motion_buckets` stands for an unknown amount. None: unknown for all.
            return_dict: False returns a tuple.

        Raises:
            UserError: shapes that do not fit, or `motion` for a network without `motion_buckets`.
        """
        self.check_inputs(sample, encoder_hidden_states)
        buckets = self.config["motion_buckets"]
        if motion is not None and not buckets:
            raise UserError("motion must be None for a network without motion_buckets")
        if self.current.still:
            motion = None
        elif motion is None and buckets:
            motion = torch.full((len(sample),), buckets, device=sample.device)
        self.current.frames = sample.shape[2]
        embeds = repeat(encoder_hidden_states, "b n d -> (b f) n d", f=sample.shape[2])
        return super().forward(sample, timestep, embeds, timestep_cond=motion, return_dict=return_dict)


def part_of(name: str) -> Part:
    """The part to which the parameter `name` belongs."""
    motion = ".motion_modules." in name
    if ".lora_" in name:
        return "motion_adapters" if motion else "spatial_adapters"
    if ".processor.to_" in name:
        return "inter_frame_attention"
    if name.startswith("time_embedding.motion."):
        return "motion_amount"
    return "motion_modules" if motion else "spatial"


def same(hidden_states: Tensor, *_: Any, **__: Any) -> Tensor:
    """The identity: the forward pass of a disabled motion module."""
    return hidden_states
