"""Conditions of the video networks: masks of given frames, the amount of motion, and the padding of prompts.

Masks of given frames let one network generate, predict and interpolate. The amount of motion is quantized into buckets
and added to the timestep embedding.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from diffusers.models.embeddings import TimestepEmbedding, get_timestep_embedding
from torch import Tensor, nn

from glassine.nn.diffusion import zero_module
from glassine.utils.errors import UserError


class FrameMasks:
    """Samples the given frames of each clip of a batch.

    RDTF (arXiv 2503.17735) trains with two masks, one for the condition frames and one for the frames in the loss, so
    that several tasks share a batch; no code is public. Here the second is the complement of the first: a frame is
    either given or learned. `generation` gives none, `prediction` the first few frames, `interpolation` the first, the
    last and any others but one.

    Args:
        generation: fraction of the clips.
        prediction: fraction of the clips.
        interpolation: fraction of the clips.

    Raises:
        ValueError: a share is negative, or all are 0.
    """

    def __init__(self, generation: float = 0.6, prediction: float = 0.2, interpolation: float = 0.2) -> None:
        self.shares = (generation, prediction, interpolation)
        if min(self.shares) < 0 or not sum(self.shares):
            raise ValueError(f"shares must be at least 0, one of them positive, got {self.shares}")

    def __call__(self, clips: int, frames: int, generator: torch.Generator | None = None) -> Tensor:
        """`b f` bool, True for given frames; at least one frame of each clip is not given."""
        shares = torch.tensor(self.shares, dtype=torch.float64)
        task = torch.multinomial(shares, clips, replacement=True, generator=generator)  # b
        number = torch.arange(frames)
        # number of given frames, uniform from 1 to all but one
        count = 1 + (torch.rand(clips, generator=generator) * (frames - 1)).long()  # b
        first_frames = number < count[:, None]  # b f
        order = torch.rand(clips, frames, generator=generator)
        order[:, [0, -1]] = -1.0  # the first and last frame are given first
        between = order.argsort(dim=1).argsort(dim=1) < count[:, None].clamp(min=2)  # b f
        given = torch.where((task == 1)[:, None], first_frames, between & (task == 2)[:, None])
        return given & ~given.all(dim=1, keepdim=True)  # clips too short for the task are generated


# deciles of training clips of the Fluent stickers: 8 frames of random parts; 16 frames of whole stickers, one per group
EIGHT_FRAMES = (0.0086, 0.0123, 0.0159, 0.0192, 0.0242, 0.0294, 0.0345, 0.0400, 0.0597)
SIXTEEN_FRAMES = (0.0085, 0.0134, 0.0176, 0.0208, 0.0250, 0.0286, 0.0343, 0.0408, 0.0516)


def motion_amount(foreground: Tensor, alpha: Tensor) -> Tensor:
    """Mean absolute difference between neighboring frames, `b` in [0, 1].

    Computed on premultiplied RGBA, so that invisible colors do not count, and over all pixels, so that a small moving
    object counts little. It measures the change per frame, regardless of the frame rate, and is 0 for a single frame.

    Args:
        foreground: straight colors `b f 3 h w` in [0, 1].
        alpha: `b f 1 h w` in [0, 1].
    """
    rgba = torch.cat([foreground * alpha, alpha], dim=2)  # b f 4 h w
    if rgba.shape[1] < 2:
        return rgba.new_zeros(len(rgba))
    return (rgba[:, 1:] - rgba[:, :-1]).abs().flatten(1).mean(1)


def motion_bucket(amount: Tensor, thresholds: Sequence[float] = EIGHT_FRAMES) -> Tensor:
    """The bucket `b` of each amount `b`: the number of `thresholds` it reaches, in increasing order.

    Raises:
        UserError: the thresholds do not increase.
    """
    if any(high <= low for low, high in pairwise(thresholds)):
        raise UserError(f"motion_thresholds must increase, got {tuple(thresholds)}")
    return torch.bucketize(amount.detach(), amount.new_tensor(thresholds), right=True)


class MotionTimeEmbedding(TimestepEmbedding):
    """diffusers' time embedding, with a learned vector for the motion bucket added to it.

    Animated Stickers (arXiv 2402.06088) also buckets training clips by motion. The vectors are zero-initialized, so an
    untrained embedding changes nothing. One extra vector, the last, stands for an unknown amount.

    Args:
        in_channels: as in `TimestepEmbedding`.
        time_embed_dim: as in `TimestepEmbedding`.
        act_fn: as in `TimestepEmbedding`.
        buckets: number of buckets.
    """

    def __init__(self, in_channels: int, time_embed_dim: int, act_fn: str = "silu", buckets: int = 10) -> None:
        super().__init__(in_channels, time_embed_dim, act_fn)
        self.motion = nn.Embedding(buckets + 1, time_embed_dim)
        zero_module(self.motion)

    def forward(self, sample: Tensor, condition: Tensor | None = None) -> Tensor:
        """`b d` from the timestep's sinusoids `b c` and the bucket `b`, which diffusers passes through."""
        embedding = super().forward(sample)
        return embedding if condition is None else embedding + self.motion(condition)


class ClipConditions(NamedTuple):
    """Conditions per clip; None for conditions that a network does not have.

    Attributes:
        motion: buckets `b` of the amount of motion; the number of buckets stands for an unknown amount.
        rate: `b`, frames per second at which the clip was sampled; 0 stands for an unknown rate.
        scales: `b 2`, guidance scales for text and image, for a network into which guidance was distilled.
    """

    motion: Tensor | None = None
    rate: Tensor | None = None
    scales: Tensor | None = None


class ClipTimeEmbedding(TimestepEmbedding):
    """diffusers' time embedding, with embeddings of the known `ClipConditions` added to it.

    The last layer of each embedding is zero-initialized, so that an untrained one changes nothing. Unknown values add
    nothing, except for an unknown amount of motion, which has its own vector as in `MotionTimeEmbedding`. Animated
    Stickers (arXiv 2402.06088) conditions on motion buckets and varies the sampling frame rate; guidance scales as
    inputs follow Meng et al. (arXiv 2210.03142, section 3.1).

    Args:
        in_channels: as in `TimestepEmbedding`; also the number of sinusoids per condition.
        time_embed_dim: as in `TimestepEmbedding`.
        act_fn: as in `TimestepEmbedding`.
        buckets: number of motion buckets; 0 for none.
        rate: whether the frame rate is a condition.
        scales: whether guidance scales are conditions.
    """

    def __init__(
        self,
        in_channels: int,
        time_embed_dim: int,
        act_fn: str = "silu",
        buckets: int = 0,
        rate: bool = False,
        scales: bool = False,
    ) -> None:
        super().__init__(in_channels, time_embed_dim, act_fn)
        self.waves = in_channels
        if buckets:
            self.motion = zero_module(nn.Embedding(buckets + 1, time_embed_dim))
        if rate:
            self.rate = TimestepEmbedding(in_channels, time_embed_dim, act_fn)
            zero_module(self.rate.linear_2)
        if scales:
            self.scales = TimestepEmbedding(2 * in_channels, time_embed_dim, act_fn)
            zero_module(self.scales.linear_2)

    def forward(self, sample: Tensor, condition: ClipConditions | None = None) -> Tensor:
        """`b d` from the timestep's sinusoids `b c` and the conditions, which diffusers passes through."""
        embedding = super().forward(sample)
        if condition is None:
            return embedding
        if condition.motion is not None:
            embedding = embedding + self.motion(condition.motion)
        if condition.rate is not None:
            # log scale: doubling the rate is the same step everywhere; 100 per octave gives waves of a few octaves
            octaves = 100 * condition.rate.clamp(min=0.1).log2()
            waves = get_timestep_embedding(octaves, self.waves).to(sample)
            known = (condition.rate > 0)[:, None].to(sample)  # b 1
            embedding = embedding + known * self.rate(waves)
        if condition.scales is not None:
            parts = [get_timestep_embedding(100 * one, self.waves) for one in condition.scales.unbind(dim=1)]
            embedding = embedding + self.scales(torch.cat(parts, dim=1).to(sample))
        return embedding


def used_tokens(prompt_embeds: Tensor) -> Tensor:
    """`b n 1` bool: tokens of `prompt_embeds` `b n d` that are not padding; padding is zero in all of d."""
    return (prompt_embeds != 0).any(dim=-1, keepdim=True)


def fill_padding(prompt_embeds: Tensor) -> Tensor:
    """`prompt_embeds` `b n d` with padding (all-zero tokens) replaced by the normalized mean of the text's tokens.

    diffusers' video networks do not mask text tokens. A zero key has as much weight in the softmax as any other, so a
    caption of five tokens next to 43 of padding has little weight. Filled with the mean of the tokens, normalized to
    their length, the padding carries the meaning of the text. After training on 420 stickers for 260 s on one core, the
    loss in the highest quarter of noise levels, where the prompt matters most, was 0.300 with it, and 0.313 after more
    steps with an unnormalized mean. CLIP's embeddings have no zeros and are not changed.
    """
    length = prompt_embeds.norm(dim=-1, keepdim=True)  # b n 1
    used = used_tokens(prompt_embeds)
    count = used.sum(dim=1, keepdim=True).clamp(min=1)
    mean = prompt_embeds.sum(dim=1, keepdim=True)  # b 1 d
    mean = mean / mean.norm(dim=-1, keepdim=True).clamp(min=1e-6) * (length.sum(dim=1, keepdim=True) / count)
    return torch.where(used, prompt_embeds, mean)
