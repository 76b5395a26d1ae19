"""The Spatial Temporal Interaction layer of VSD2M (arXiv 2412.08259, "STI Layer for Discrete Sticker Generation")."""

from dataclasses import dataclass
from functools import reduce
from typing import Literal, get_args

import torch
from diffusers.models.attention import FeedForward
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import TemporalConvLayer
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from glassine.nn.diffusion import zero_module
from glassine.nn.looping import cycle
from glassine.nn.temporal import (
    FreeMix,
    LearnedMix,
    MixedConvolution,
    TemporalAttention,
    TemporalMethod,
    clip_positions,
    sinusoid,
)
from glassine.utils.errors import UserError

Positions = Literal["none", "frames", "frames_and_space"]
Mix = Literal["layer", "channel", "free"]
Downsample = Literal["mean", "max", "convolution"]
Upsample = Literal["bilinear", "nearest"]


@dataclass(frozen=True)
class STI(TemporalMethod):
    """STI layers instead of all temporal attentions of VideoLDM; its temporal convolutions are kept.

    The paper specifies the two branches, self-attention over all tokens of a clip downsampled by gamma and `k x 1 x 1`
    convolutions, "learnable weights" between them, and a total of 1.856 B parameters. The defaults are a layout with
    about as many (1.857 B): the contents of diffusers' layer (two self-attentions and a feed-forward) at low
    resolution, one `3 x 1 x 1` convolution, one number for the mix and one projection, i.e. 24 C x C matrices at each
    of 17 positions.

    Args:
        gamma: downsampling factor. The paper gives no value. One pass of the full-size UNet over 8 frames of 256 x 256
            takes 3.6, 2.1 and 1.9 TFLOP for 1, 2 and 4 by torch's count, VideoLDM's 2.4; in table 4 their times differ
            by 1%, to which 2 comes closest.
        kernel_sizes: temporal kernel sizes k of the detail branch, all odd; their outputs are added. "Different
            patterns" may mean several; a single 3 matches the total.
        attentions: number of consecutive self-attentions.
        feed_forward: whether a feed-forward layer follows them.
        positions: sinusoidal embeddings added to the tokens, for the frame or for frame, row and column. The paper has
            none, but without them attention cannot distinguish the positions of tokens.
        mix: one number per `layer` or `channel`, as semantic and 1 - semantic; or two `free` factors per layer. The
            paper mentions a "proportion of these two branches".
        share: initial share of the semantic branch.
        downsample: `mean` or `max` of gamma x gamma windows, or a `convolution` with that stride; the first two have no
            parameters, which matches the total. Windows at the border may be smaller, so any size works.
        upsample: `bilinear` or `nearest`. The layer has no 3 x 3 convolution afterwards that could smooth block
            artifacts.
        zero_init: zero-initialize the last projection, so that an untrained network equals the image network on every
            frame.
        mixed_convolutions: whether the convolutions are mixed with their input, as in VideoLDM, whose layers the
            paper replaces; False keeps them unmixed, to start from ModelScope's.

    Raises:
        UserError: a number or name that is not allowed.
    """

    gamma: int = 2
    kernel_sizes: tuple[int, ...] = (3,)
    attentions: int = 2
    feed_forward: bool = True
    positions: Positions = "frames_and_space"
    mix: Mix = "layer"
    share: float = 0.5
    downsample: Downsample = "mean"
    upsample: Upsample = "bilinear"
    zero_init: bool = True
    mixed_convolutions: bool = True

    def __post_init__(self) -> None:
        if self.gamma < 1 or self.attentions < 1:
            raise UserError(f"gamma and attentions must be at least 1, got {self.gamma} and {self.attentions}")
        if not self.kernel_sizes or any(k < 1 or k % 2 == 0 for k in self.kernel_sizes):
            raise UserError(f"kernel_sizes must be odd, such as [3] or [1, 3, 5], got {list(self.kernel_sizes)}")
        choices = {"positions": Positions, "mix": Mix, "downsample": Downsample, "upsample": Upsample}
        for name, allowed in choices.items():
            if getattr(self, name) not in get_args(allowed):
                raise UserError(f"{name} must be {' or '.join(get_args(allowed))}, got {getattr(self, name)!r}")

    def attention(self, layer: TransformerTemporalModel, index: int) -> nn.Module:
        """An STI layer of the same width, head size and groups."""
        channels = layer.norm.num_channels
        return STILayer(channels, layer.attention_head_dim, layer.norm.num_groups, self)

    def convolution(self, layer: TemporalConvLayer) -> nn.Module:
        """The layer, mixed if `mixed_convolutions` is set."""
        return MixedConvolution(layer, share=0.5) if self.mixed_convolutions else layer


class STILayer(TemporalAttention):
    """One STI layer with a residual connection and the norm of diffusers' layer.

    Args:
        channels: C, a multiple of `head_dim` and of `norm_num_groups`.
        head_dim: channels of an attention head.
        norm_num_groups: groups of the GroupNorm, with statistics over the whole clip.
        sti: settings.
    """

    def __init__(self, channels: int, head_dim: int, norm_num_groups: int, sti: STI) -> None:
        super().__init__()
        if channels % head_dim:
            raise UserError(f"head_dim must divide all widths, got {head_dim} for {channels}")
        self.sti, self.wraps = sti, False
        self.norm = nn.GroupNorm(norm_num_groups, channels, eps=1e-6)
        self.reduce = nn.Conv2d(channels, channels, sti.gamma, sti.gamma) if sti.downsample == "convolution" else None
        self.semantic = nn.Sequential(*(SelfAttention(channels, head_dim) for _ in range(sti.attentions)))
        if sti.feed_forward:
            self.semantic.append(Feed(channels))
        self.detail = nn.ModuleList(
            nn.Conv3d(channels, channels, (k, 1, 1), padding=(k // 2, 0, 0)) for k in sti.kernel_sizes
        )
        self.mix: nn.Module
        if sti.mix == "free":
            self.mix = FreeMix(sti.share)
        else:
            self.mix = LearnedMix(sti.share, channels if sti.mix == "channel" else 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)
        if sti.zero_init:
            zero_module(self.proj_out)

    def over_time(self, x: Tensor, num_frames: int) -> Tensor:
        """`(b f) c h w` to the same."""
        y = self.norm(rearrange(x, "(b f) c h w -> b c f h w", f=num_frames))
        detail = reduce(torch.add, (convolution(y) for convolution in self.detail))
        detail = rearrange(detail, "b c f h w -> (b f) c h w")
        semantic = self.interact(rearrange(y, "b c f h w -> (b f) c h w"), num_frames)
        return x + self.proj_out(self.mix(detail, semantic))

    def interact(self, y: Tensor, num_frames: int) -> Tensor:
        """The semantic branch, `(b f) c h w` to the same: every region of every frame attends to all others."""
        small = self.shrink(y)  # (b f) c h/gamma w/gamma, rounded up
        height, width = small.shape[-2:]
        tokens = rearrange(small, "(b f) c h w -> b (f h w) c", f=num_frames)
        tokens = self.semantic(tokens + self.positions(num_frames, height, width, tokens))
        small = rearrange(tokens, "b (f h w) c -> (b f) c h w", f=num_frames, h=height)
        large = F.interpolate(small, scale_factor=float(self.sti.gamma), mode=self.sti.upsample)
        return large[..., : y.shape[-2], : y.shape[-1]]

    def shrink(self, y: Tensor) -> Tensor:
        """`n c h w` to `n c h/gamma w/gamma`, rounded up; windows start at the top left."""
        gamma = self.sti.gamma
        if self.reduce is not None:
            return self.reduce(F.pad(y, (0, -y.shape[-1] % gamma, 0, -y.shape[-2] % gamma), mode="replicate"))
        pool = F.avg_pool2d if self.sti.downsample == "mean" else F.max_pool2d
        return pool(y, gamma, ceil_mode=True)

    def positions(self, frames: int, height: int, width: int, tokens: Tensor) -> Tensor | float:
        """The position embeddings for `tokens` `b (f h w) c`: `(f h w) c`, or 0 for none."""
        channels = tokens.shape[-1]
        if self.sti.positions == "none":
            return 0.0
        if self.sti.positions == "frames":
            place = cycle if self.wraps else sinusoid
            return place(frames, channels, tokens).repeat_interleave(height * width, dim=0)
        return clip_positions(frames, height, width, channels, tokens, self.wraps)


class SelfAttention(nn.Module):
    """LayerNorm and self-attention with a residual connection."""

    def __init__(self, channels: int, head_dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.attention = Attention(channels, heads=channels // head_dim, dim_head=head_dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """`b n c` to the same."""
        return tokens + self.attention(self.norm(tokens))


class Feed(nn.Module):
    """LayerNorm and a gated feed-forward layer, four times as wide, with a residual connection."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm, self.feed = nn.LayerNorm(channels), FeedForward(channels, activation_fn="geglu")

    def forward(self, tokens: Tensor) -> Tensor:
        """`b n c` to the same."""
        return tokens + self.feed(self.norm(tokens))
