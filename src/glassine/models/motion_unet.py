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

from glassine.models.video_unet import TemporalUNet
from glassine.nn.conditioning import MotionTimeEmbedding
from glassine.nn.diffusion import checkpoint_layer
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

DOWN = ("CrossAttnDownBlockMotion", "CrossAttnDownBlockMotion", "CrossAttnDownBlockMotion", "DownBlockMotion")
UP = ("UpBlockMotion", "CrossAttnUpBlockMotion", "CrossAttnUpBlockMotion", "CrossAttnUpBlockMotion")
LAYER = re.compile(r".+\.(resnets|attentions|motion_modules)\.\d+")
Part = Literal[
    "spatial", "motion_modules", "inter_frame_attention", "motion_amount", "spatial_adapters", "motion_adapters"
]


class MotionUNet(TemporalUNet, UNetMotionModel):
    """diffusers' `UNetMotionModel`, called as our video UNets, with Inter-Frame Attention; saved as diffusers' models.

    Its weights are an image UNet's (see `glassine.pretrained.image_unet`), a `MotionAdapter`'s (AnimateDiff, arXiv
    2307.04725; see `glassine.pretrained.motion_adapter`) and new ones, under diffusers' names. All that is added stands
    in the constructor's arguments, so `from_pretrained` finds it again. The defaults are SD 1.5 with AnimateDiff v2:
    859.521 M and 453.209 M parameters. As in AnimateDiff's own code, and not in diffusers, the last layers of untrained
    motion modules are zero: it starts as the image UNet on every frame. As in diffusers, and not in AnimateDiff's code,
    the spatial GroupNorms take their statistics over all frames of a clip, the reference frame among them.

    Args:
        in_channels: channels of the noisy latents, and of what is given beside them.
        out_channels: channels of the prediction.
        down_block_types: one a resolution; `CrossAttnDownBlockMotion` where the image UNet has a cross-attention block.
        up_block_types: likewise, on the way up.
        block_out_channels: widths.
        layers_per_block: layers in a block on the way down; one more on the way up.
        norm_num_groups: of all GroupNorms, those of the motion modules too.
        cross_attention_dim: width of the text embeddings.
        num_attention_heads: of the spatial attentions; one number, or one a resolution.
        use_linear_projection: as in the image UNet; SD 1.5 has none, Stable Diffusion 2 and `FrameUNet` have.
        motion_max_seq_length: positions of the motion modules, so the most frames; 32 in AnimateDiff v2, 24 in v1.
        motion_num_attention_heads: of the motion modules.
        use_motion_mid_block: whether the middle has one; v1 has none.
        inter_frame_attention: `add` is Layer-Animate; `replace` see `InterFrameAttention`; None is without.
        reference_frame: see `InterFrameAttention`. Without that, still the frame that is given as base image.
        base_image: whether clips are made around a base image, so that one is made where none is given; None is where
            there is Inter-Frame Attention.
        layer_attention: whether the spatial attentions are LayerDiffuse's, see `LayerAttention`.
        motion_buckets: amounts of motion that it can be told; 0 for none.
        spatial_rank: of LoRA beside the spatial attentions (Still-Moving's spatial adapters); 0 for none.
        motion_rank: of LoRA in the motion modules (its motion adapters); 0 for none.

    Raises:
        UserError: arguments that there are not.
    """

    # what an image UNet or a motion adapter does not have
    own_layers = re.compile(r".*(\.processor\.|\.lora_(down|up)\.|\.motion_modules\.|time_embedding\.motion\.).*")

    @register_to_config
    def __init__(
        self,
        in_channels: int = 4,
        out_channels: int = 4,
        down_block_types: tuple[str, ...] = DOWN,
        up_block_types: tuple[str, ...] = UP,
        block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280),
        layers_per_block: int = 2,
        norm_num_groups: int = 32,
        cross_attention_dim: int = 768,
        num_attention_heads: int | tuple[int, ...] = 8,
        use_linear_projection: bool = False,
        motion_max_seq_length: int = 32,
        motion_num_attention_heads: int = 8,
        use_motion_mid_block: bool = True,
        inter_frame_attention: Mode | None = "add",
        reference_frame: Reference = "middle",
        base_image: bool | None = None,
        layer_attention: bool = False,
        motion_buckets: int = 0,
        spatial_rank: int = 0,
        motion_rank: int = 0,
    ) -> None:
        super().__init__(
            in_channels=in_channels,
            out_channels=out_channels,
            down_block_types=down_block_types,
            up_block_types=up_block_types,
            block_out_channels=block_out_channels,
            layers_per_block=layers_per_block,
            norm_num_groups=norm_num_groups,
            cross_attention_dim=cross_attention_dim,
            num_attention_heads=num_attention_heads,
            use_linear_projection=use_linear_projection,
            motion_max_seq_length=motion_max_seq_length,
            motion_num_attention_heads=motion_num_attention_heads,
            use_motion_mid_block=use_motion_mid_block,
        )
        for layer in self.temporal_layers().values():
            nn.init.zeros_(layer.proj_out.weight)  # type: ignore[union-attr,arg-type]
            nn.init.zeros_(layer.proj_out.bias)  # type: ignore[union-attr,arg-type]
        self.current = CurrentPass()
        # all here: only what stands when the constructor returns is filled by `from_pretrained`
        if layer_attention:
            add_layer_attention(self)
        if inter_frame_attention is not None:
            add_inter_frame_attention(self, self.current, reference_frame, inter_frame_attention)
        if motion_buckets:
            waves, width = block_out_channels[0], 4 * block_out_channels[0]
            self.time_embedding = MotionTimeEmbedding(waves, width, buckets=motion_buckets)
        if spatial_rank:
            add_lora(self, spatial_rank, "spatial")
        if motion_rank:
            add_lora(self, motion_rank, "motion")

    def reference_index(self, frames: int) -> int:
        """Number of the reference frame in a clip of so many."""
        return reference_frame(self.config["reference_frame"], frames)

    def temporal_layers(self) -> dict[str, nn.Module]:
        """The motion modules by name."""
        return {name: layer for name, layer in self.named_modules() if isinstance(layer, AnimateDiffTransformer3D)}

    def start_inter_frame_attention(self) -> None:
        """Take its first weights from the self-attention; loaders call it when they have filled that."""
        for layer in self.modules():
            processor = getattr(layer, "processor", None)
            if isinstance(processor, InterFrameAttention):
                processor.start_from(layer)

    def train_only(self, *parts: Part) -> None:
        """Let gradients reach these parts alone; every parameter belongs to one.

        Raises:
            UserError: a part that there is not, or that this network does not have.
        """
        for part in parts:
            if part not in get_args(Part):
                raise UserError(f"part {part!r} came; a MotionUNet has {', '.join(get_args(Part))}")
            if not any(part_of(name) == part for name, _ in self.named_parameters()):
                raise UserError(f"{part} is to be trained, but this MotionUNet has none: its arguments add it")
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(part_of(name) in parts)

    def freeze_spatial(self) -> None:
        """Let gradients reach the motion modules alone, as AnimateDiff trains them."""
        self.train_only("motion_modules")

    @contextmanager
    def without_motion(self) -> Iterator[None]:
        """The image UNet within: every frame by itself. For sampling; gradients need the network whole."""
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
        """What diffusers' `enable_gradient_checkpointing` calls; its own does not reach all motion modules."""
        for name, layer in self.named_modules():
            if LAYER.fullmatch(name):
                checkpoint_layer(layer, enable)
                if enable and ".attentions." in name:
                    layer.forward = partial(self.current.recomputed, layer)
        self.gradient_checkpointing = enable

    def check_frames(self, frames: int) -> None:
        """Raise UserError for clips of more frames than the motion modules have positions for."""
        if frames > self.config["motion_max_seq_length"]:
            most = self.config["motion_max_seq_length"]
            raise UserError(f"clips of {frames} frames came; the motion modules have positions for {most}: give fewer")

    def check_inputs(self, sample: Tensor, prompt_embeds: Tensor) -> None:
        """Raise UserError where `sample` (`b c f h w`) or `prompt_embeds` (`b n d`) are not what the network takes."""
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
            motion: buckets `b` from 0, `motion_buckets` itself for one that is not told; None tells none.
            return_dict: false gives a tuple.

        Raises:
            UserError: shapes that the network does not take, or motion where it cannot be told.
        """
        self.check_inputs(sample, encoder_hidden_states)
        buckets = self.config["motion_buckets"]
        if motion is not None and not buckets:
            raise UserError("an amount of motion came; this network is not told it: train one with motion_buckets")
        if self.current.still:
            motion = None
        elif motion is None and buckets:
            motion = torch.full((len(sample),), buckets, device=sample.device)
        self.current.frames = sample.shape[2]
        embeds = repeat(encoder_hidden_states, "b n d -> (b f) n d", f=sample.shape[2])
        return super().forward(sample, timestep, embeds, timestep_cond=motion, return_dict=return_dict)


def part_of(name: str) -> Part:
    """The part that the parameter called `name` belongs to."""
    motion = ".motion_modules." in name
    if ".lora_" in name:
        return "motion_adapters" if motion else "spatial_adapters"
    if ".processor.to_" in name:
        return "inter_frame_attention"
    if name.startswith("time_embedding.motion."):
        return "motion_amount"
    return "motion_modules" if motion else "spatial"


def same(hidden_states: Tensor, *_: Any, **__: Any) -> Tensor:
    """What a motion module does when there is no motion."""
    return hidden_states
