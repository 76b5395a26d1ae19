"""Conditions of the video networks: masks of given frames, the amount of motion, and the padding of prompts.

Masks of given frames let one network generate, predict and interpolate. The amount of motion is divided into buckets
and enters with the timestep.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from diffusers.models.embeddings import TimestepEmbedding
from torch import Tensor, nn

from glassine.nn.diffusion import zero_module
from glassine.utils.errors import UserError


class FrameMasks:
    """Draws the given frames of each clip of a batch.

    RDTF (arXiv 2503.17735) trains with two masks, one of the frames that are the condition and one of the frames that
    the loss counts, so that several tasks share a batch; no code is public. Here the second is the complement of the
    first: a frame is either given or learned. `generation` gives none, `prediction` a run of frames from the first on,
    `interpolation` the first, the last and any others but one.

    Args:
        generation: share of the clips.
        prediction: share of the clips.
        interpolation: share of the clips.

    Raises:
        ValueError: a negative share, or none above 0.
    """

    def __init__(self, generation: float = 0.6, prediction: float = 0.2, interpolation: float = 0.2) -> None:
        self.shares = (generation, prediction, interpolation)
        if min(self.shares) < 0 or not sum(self.shares):
            raise ValueError(f"shares must be at least 0, one of them positive, got {self.shares}")

    def __call__(self, clips: int, frames: int, generator: torch.Generator | None = None) -> Tensor:
        """`b f` bool, true where the frame is given; at least one frame of each clip is not."""
        shares = torch.tensor(self.shares, dtype=torch.float64)
        task = torch.multinomial(shares, clips, replacement=True, generator=generator)  # b
        number = torch.arange(frames)
        # how many are given, from 1 to all but one, as evenly as whole numbers can be
        count = 1 + (torch.rand(clips, generator=generator) * (frames - 1)).long()  # b
        first_frames = number < count[:, None]  # b f
        order = torch.rand(clips, frames, generator=generator)
        order[:, [0, -1]] = -1.0  # the ends come first
        between = order.argsort(dim=1).argsort(dim=1) < count[:, None].clamp(min=2)  # b f
        given = torch.where((task == 1)[:, None], first_frames, between & (task == 2)[:, None])
        return given & ~given.all(dim=1, keepdim=True)  # clips too short for the task are generated


# deciles of training clips of the Fluent stickers: 8 frames of random parts; 16 of whole ones, each group once
EIGHT_FRAMES = (0.0086, 0.0123, 0.0159, 0.0192, 0.0242, 0.0294, 0.0345, 0.0400, 0.0597)
SIXTEEN_FRAMES = (0.0085, 0.0134, 0.0176, 0.0208, 0.0250, 0.0286, 0.0343, 0.0408, 0.0516)


def motion_amount(foreground: Tensor, alpha: Tensor) -> Tensor:
    """Mean absolute difference of neighboring frames, `b` in [0, 1].

    Of premultiplied RGBA, so that invisible colors do not count; over all pixels, so that a small moving
    object counts little. It is the change from frame to frame, whatever the time between them. It is 0 for a single
    frame.

    Args:
        foreground: straight colors `b f 3 h w` in [0, 1].
        alpha: `b f 1 h w` in [0, 1].
    """
    rgba = torch.cat([foreground * alpha, alpha], dim=2)  # b f 4 h w
    if rgba.shape[1] < 2:
        return rgba.new_zeros(len(rgba))
    return (rgba[:, 1:] - rgba[:, :-1]).abs().flatten(1).mean(1)


def motion_bucket(amount: Tensor, thresholds: Sequence[float] = EIGHT_FRAMES) -> Tensor:
    """The bucket `b` of each amount `b`: the number of increasing `thresholds` that it reaches.

    Raises:
        UserError: thresholds that do not increase.
    """
    if any(high <= low for low, high in pairwise(thresholds)):
        raise UserError(f"motion_thresholds must increase, got {tuple(thresholds)}")
    return torch.bucketize(amount.detach(), amount.new_tensor(thresholds), right=True)


class MotionTimeEmbedding(TimestepEmbedding):
    """diffusers' time embedding, with a learned vector for the motion bucket added to it.

    Animated Stickers (arXiv 2402.06088) buckets training clips by motion as well. The vectors start at zero: an
    untrained one changes nothing. One more, the last, represents an unknown amount.

    Args:
        in_channels: as in `TimestepEmbedding`.
        time_embed_dim: likewise.
        act_fn: likewise.
        buckets: number of amounts.
    """

    def __init__(self, in_channels: int, time_embed_dim: int, act_fn: str = "silu", buckets: int = 10) -> None:
        super().__init__(in_channels, time_embed_dim, act_fn)
        self.motion = nn.Embedding(buckets + 1, time_embed_dim)
        zero_module(self.motion)

    def forward(self, sample: Tensor, condition: Tensor | None = None) -> Tensor:
        """`b d` of the time step's waves `b c` and the bucket `b`; diffusers passes the latter through."""
        embedding = super().forward(sample)
        return embedding if condition is None else embedding + self.motion(condition)


def used_tokens(prompt_embeds: Tensor) -> Tensor:
    """`b n 1` bool: tokens of `prompt_embeds` `b n d` that are not padding; padding is zero in all of d."""
    return (prompt_embeds != 0).any(dim=-1, keepdim=True)


def fill_padding(prompt_embeds: Tensor) -> Tensor:
    """`prompt_embeds` `b n d` with the direction of a text's mean at its padding, which is where all of d is zero.

    diffusers' video networks take no mask for the text. A zero key has a weight in the softmax like any other, and a
    caption of five tokens beside 43 of padding has little weight. With the mean of the tokens, normalized to their
    length, padding carries the meaning of the text. Trained on 420 stickers for 260 s on a core, the loss
    at the highest quarter of noise, where the prompt matters most, was 0.300 with it, and 0.313 after more steps with
    a mean of its own length.
    CLIP's embeddings have no zeros and are not changed.
    """
    length = prompt_embeds.norm(dim=-1, keepdim=True)  # b n 1
    used = used_tokens(prompt_embeds)
    count = used.sum(dim=1, keepdim=True).clamp(min=1)
    mean = prompt_embeds.sum(dim=1, keepdim=True)  # b 1 d
    mean = mean / mean.norm(dim=-1, keepdim=True).clamp(min=1e-6) * (length.sum(dim=1, keepdim=True) / count)
    return torch.where(used, prompt_embeds, mean)
