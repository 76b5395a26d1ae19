"""Temporal layers of video UNets: the methods that VSD2M (arXiv 2412.08259) compares with STI.

Make-A-Video (Singer et al., arXiv 2209.14792): space first, then time at each pixel separately.
VideoLDM (Blattmann et al., arXiv 2304.08818): each temporal layer mixed with its input.
VideoFactory (Wang et al., arXiv 2305.10874): swapped cross-attention between space and time, as far as the paper
specifies it.

`TemporalMethod` is their interface to the UNet. Shared parts are learned mixes of two branches, sinusoidal position
embeddings for frame, row and column, and 3D windows.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from diffusers.models.resnet import TemporalConvLayer
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel, TransformerTemporalModelOutput
from einops import rearrange
from torch import Tensor, nn

from glassine.nn.diffusion import zero_module
from glassine.nn.looping import cycle
from glassine.utils.class_paths import build
from glassine.utils.errors import UserError

MAX_PERIOD = 10_000


def clip_positions(frames: int, height: int, width: int, channels: int, like: Tensor, wraps: bool = False) -> Tensor:
    """`(f h w) c`: a third of the channels each for row and column, the rest for the frame, in the dtype of `like`.

    `channels` is even and at least 6. In a clip that `wraps`, the frames lie on a circle.
    Computed on every call and not stored in a buffer: any size works, and nothing is lost when a network is created on
    the meta device and filled from a file.
    """
    third = channels // 6 * 2
    grid = (frames, height, width)
    parts = [
        (cycle if wraps else sinusoid)(frames, channels - 2 * third, like)[:, None, None].expand(*grid, -1),
        sinusoid(height, third, like)[None, :, None].expand(*grid, -1),
        sinusoid(width, third, like)[None, None, :].expand(*grid, -1),
    ]
    return torch.cat(parts, dim=-1).flatten(0, 2)


def sinusoid(length: int, channels: int, like: Tensor) -> Tensor:
    """`length channels` with periods from 2 pi to 10,000 times that (arXiv 1706.03762); even channels."""
    steps = torch.arange(length, device=like.device, dtype=torch.float32)
    rates = torch.exp(torch.arange(channels // 2, device=like.device) * (-2 * math.log(MAX_PERIOD) / channels))
    angles = steps[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=-1).to(like.dtype)


class LearnedMix(nn.Module):
    """`a + share * (b - a)`, where the share is the sigmoid of a learned number.

    Args:
        share: initial share of b, in (0, 1).
        channels: number of learned shares, one per channel; 1 shares one for all.

    Raises:
        UserError: the share is out of range.
    """

    def __init__(self, share: float = 0.5, channels: int = 1) -> None:
        super().__init__()
        if not 0 < share < 1:
            raise UserError(f"share must be in (0, 1), got {share}")
        self.logit = nn.Parameter(torch.full((channels,), math.log(share / (1 - share))))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Two `n c h w` to one; equal inputs are returned unchanged."""
        share = self.logit.sigmoid()[:, None, None].to(a.dtype)
        return a + share * (b - a)


class FreeMix(nn.Module):
    """`first * a + second * b` with two learned numbers, initially `1 - share` and `share`."""

    def __init__(self, share: float = 0.5) -> None:
        super().__init__()
        self.factors = nn.Parameter(torch.tensor([1 - share, share]))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Two `n c h w` to one."""
        first, second = self.factors.to(a.dtype)
        return first * a + second * b


Grid = tuple[int, int, int]


def window_counts(sides: Grid, window: Grid) -> Grid:
    """Number of windows along frames, height and width.

    Each side is split into the fewest equal parts no longer than the window: for 8, a side of 12 into two of 6, a side
    of 4 not at all. A longer prime side is split into single steps.
    """
    frames, height, width = (
        next(n for n in range(1, side + 1) if side % n == 0 and side // n <= most)
        for side, most in zip(sides, window, strict=True)
    )
    return frames, height, width


def to_windows(x: Tensor, counts: Grid) -> Tensor:
    """`b f h w c` to the tokens of each window, `n t c`."""
    nf, nh, nw = counts
    return rearrange(x, "b (nf f) (nh h) (nw w) c -> (b nf nh nw) (f h w) c", nf=nf, nh=nh, nw=nw)


def from_windows(tokens: Tensor, counts: Grid, sides: Grid) -> Tensor:
    """`n t c` to `b f h w c`, the inverse of `to_windows` for a clip with these `sides`."""
    (nf, nh, nw), (frames, height, width) = counts, sides
    return rearrange(
        tokens,
        "(b nf nh nw) (f h w) c -> b (nf f) (nh h) (nw w) c",
        nf=nf, nh=nh, nw=nw, f=frames // nf, h=height // nh, w=width // nw,
    )  # fmt: skip


class TemporalMethod(ABC):
    """A method that replaces the temporal layers of diffusers' `UNet3DConditionModel`.

    At full size these are 17 attentions, the first of which is `transformer_in`, and 22 convolutions. A method is given
    each of diffusers' layers and returns its replacement: the layer itself, or a module with the same call signature.
    Subclasses are frozen dataclasses of plain values: a method is one key of a YAML and of a saved `config.json`. A
    module that wraps the layer names it `base`, so that weights of the layer can be loaded into it.
    """

    @abstractmethod
    def attention(self, layer: TransformerTemporalModel, index: int) -> nn.Module:
        """The replacement for attention `index`, counted in the order of the forward pass; 0 is `transformer_in`."""

    def convolution(self, layer: TemporalConvLayer) -> nn.Module:
        """The replacement for a convolution; by default the layer itself."""
        return layer

    def describe(self) -> dict[str, Any]:
        """`class_path` and all `init_args`: the input of `make_method`."""
        kind = type(self)
        return {"class_path": f"{kind.__module__}.{kind.__qualname__}", "init_args": asdict(self)}  # type: ignore[call-overload]


class TemporalAttention(nn.Module):
    """A layer with the call signature of diffusers' `TransformerTemporalModel`; subclasses implement `over_time`."""

    def forward(
        self,
        hidden_states: Tensor,
        num_frames: int = 1,
        cross_attention_kwargs: dict[str, Any] | None = None,
        return_dict: bool = True,
    ) -> TransformerTemporalModelOutput | tuple[Tensor]:
        """`(b f) c h w` to the same; `cross_attention_kwargs` is accepted and ignored."""
        sample = self.over_time(hidden_states, num_frames)
        return TransformerTemporalModelOutput(sample=sample) if return_dict else (sample,)

    def over_time(self, x: Tensor, num_frames: int) -> Tensor:
        """`(b f) c h w` to the same."""
        raise NotImplementedError


def make_method(description: TemporalMethod | dict[str, Any]) -> TemporalMethod:
    """The method described by `class_path` and `init_args`; raises UserError if they do not describe one."""
    if isinstance(description, TemporalMethod):
        return description
    try:
        return build(TemporalMethod, description, "the temporal method")  # type: ignore[type-abstract]
    except UserError:
        raise
    except Exception as error:  # a network's saved configuration may come from anywhere
        reason = " ".join(str(error).split())[-200:]  # the root cause comes last
        raise UserError(
            f"temporal must be a method with its init_args, such as glassine.nn.sti.STI, got {description} ({reason})"
        ) from error


@dataclass(frozen=True)
class MakeAVideo(TemporalMethod):
    """Pseudo-3D layers, diffusers' own: `3 x 1 x 1` convolutions, and attention over the frames of each pixel.

    The base of all methods here, as in VSD2M. Weights of ModelScope's UNet load under their original names.

    Args:
        zero_init: zero-initialize the last projection of the attentions, as diffusers does for the last convolution, so
            that an untrained network equals the image network on every frame. Reimplementations report that
            Make-A-Video starts as the identity; diffusers initializes its attentions randomly. Irrelevant if weights
            are loaded.
    """

    zero_init: bool = True

    def attention(self, layer: TransformerTemporalModel, index: int) -> nn.Module:
        """The layer itself."""
        if self.zero_init:
            zero_module(layer.proj_out)
        return layer


@dataclass(frozen=True)
class VideoLDM(TemporalMethod):
    """Make-A-Video's layers with "trainable parameters to balance the contribution of 2D and 3D information" (VSD2M).

    One number per layer, for all attentions and convolutions: `a * spatial + (1 - a) * temporal`, where the spatial
    part is the layer's input. We keep a within (0, 1) by a sigmoid; a public reimplementation clamps it.

    Args:
        share: initial share of the temporal part, 1 - a. The reimplementation starts at 0; with `zero_init` the network
            starts as the image network for any value, and 0.5 lets both learn. Use a value close to 1, such as 0.99, to
            start from temporal layers that were trained without mixing, such as ModelScope's.
        zero_init: see `MakeAVideo`.
    """

    share: float = 0.5
    zero_init: bool = True

    def attention(self, layer: TransformerTemporalModel, index: int) -> nn.Module:
        """The layer, mixed."""
        if self.zero_init:
            zero_module(layer.proj_out)
        return MixedAttention(layer, self.share)

    def convolution(self, layer: TemporalConvLayer) -> nn.Module:
        """The layer, mixed."""
        return MixedConvolution(layer, self.share)


class MixedAttention(TemporalAttention):
    """A temporal attention `base`, mixed with its input; `share` is the initial share of the output."""

    def __init__(self, base: TransformerTemporalModel, share: float) -> None:
        super().__init__()
        self.base, self.mix = base, LearnedMix(share)

    def over_time(self, x: Tensor, num_frames: int) -> Tensor:
        """`(b f) c h w` to the same."""
        return self.mix(x, self.base(x, num_frames=num_frames, return_dict=False)[0])


class MixedConvolution(nn.Module):
    """A temporal convolution `base`, mixed with its input; `share` is the initial share of the output."""

    def __init__(self, base: TemporalConvLayer, share: float) -> None:
        super().__init__()
        self.base, self.mix = base, LearnedMix(share)

    def forward(self, hidden_states: Tensor, num_frames: int = 1) -> Tensor:
        """`(b f) c h w` to the same."""
        return self.mix(hidden_states, self.base(hidden_states, num_frames=num_frames))


@dataclass(frozen=True)
class VideoFactory(TemporalMethod):
    """Spatial and temporal features attend to each other in 3D windows, and alternate as queries.

    From the abstract: "a swapped cross-attention mechanism in 3D windows that alternates the 'query' role between
    spatial and temporal blocks". From VSD2M: 1.847 B parameters, 12 M more than VideoLDM; one C x C matrix at each of
    the 16 attentions inside the UNet's blocks gives 1847.7 M, a full cross-attention there 1.885 B.

    The rest is ours. The second self-attention of diffusers' layer becomes the cross-attention, so that it adds no cost
    and starts from trained weights if there are any; the matrix carries the key features on, which would otherwise be
    lost. `transformer_in`, which follows no spatial block, and the convolutions are unchanged.

    Args:
        window: maximum frames, height and width of a window; see `window_counts`. Not given in the abstract; 8
            spans all frames of a sticker.
        zero_init: see `MakeAVideo`.
        positions: `none`, or `frames_and_space`: sinusoids for frame, row and column are added to the features, as in
            STI. The abstract has none, so this is a separate row in comparisons.

    Raises:
        UserError: unknown `positions`.
    """

    window: tuple[int, int, int] = (8, 8, 8)
    zero_init: bool = True
    positions: Literal["none", "frames_and_space"] = "none"

    def __post_init__(self) -> None:
        if self.positions not in ("none", "frames_and_space"):
            raise UserError(f"positions must be none or frames_and_space, got {self.positions!r}")

    def attention(self, layer: TransformerTemporalModel, index: int) -> nn.Module:
        """Swapped attention in the blocks: queries are spatial in the first, temporal in the second, and so on."""
        if self.zero_init:
            zero_module(layer.proj_out)
        if index == 0:
            return layer
        swapped = SwappedAttention(layer, self.window, spatial_asks=index % 2 == 1, positions=self.positions != "none")
        if self.zero_init:
            zero_module(swapped.carry)
        return swapped


class SwappedAttention(TemporalAttention):
    """Attention over the frames of a pixel, then windowed cross-attention between its input and its output.

    Args:
        base: layer whose parts are used; its second self-attention becomes the cross-attention.
        window: maximum frames, height and width of a window.
        spatial_asks: whether the spatial features are the queries and the temporal ones the keys, or the reverse.
        positions: whether sinusoids for frame, row and column are added to the features.
    """

    def __init__(
        self,
        base: TransformerTemporalModel,
        window: tuple[int, int, int],
        spatial_asks: bool,
        positions: bool = False,
    ) -> None:
        super().__init__()
        self.base, self.window, self.spatial_asks, self.positions = base, window, spatial_asks, positions
        self.wraps = False
        self.carry = nn.Linear(base.proj_out.in_features, base.proj_out.out_features, bias=False)

    def over_time(self, x: Tensor, num_frames: int) -> Tensor:
        """`(b f) c h w` to the same."""
        block: Any = self.base.transformer_blocks[0]
        sides = (num_frames, x.shape[-2], x.shape[-1])
        y = self.base.norm(rearrange(x, "(b f) c h w -> b c f h w", f=num_frames))
        spatial = self.base.proj_in(rearrange(y, "b c f h w -> b f h w c"))
        if self.positions:
            added = clip_positions(*sides, spatial.shape[-1], spatial, self.wraps)  # (f h w) c
            spatial = spatial + added.view(*sides, -1)
        pixels = rearrange(spatial, "b f h w c -> (b h w) f c")
        pixels = pixels + block.attn1(block.norm1(pixels))
        temporal = rearrange(pixels, "(b h w) f c -> b f h w c", h=sides[1], w=sides[2])

        asking, asked = (spatial, temporal) if self.spatial_asks else (temporal, spatial)
        counts = window_counts(sides, self.window)
        queries, keys = (to_windows(block.norm2(features), counts) for features in (asking, asked))  # n t c
        asking = asking + from_windows(block.attn2(queries, encoder_hidden_states=keys), counts, sides)
        asking = asking + block.ff(block.norm3(asking))
        out = self.base.proj_out(asking) + self.carry(asked)
        return x + rearrange(out, "b f h w c -> (b f) c h w")
