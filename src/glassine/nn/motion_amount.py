"""How much a clip moves, in buckets, and the condition that a network is told it by."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from diffusers.models.embeddings import TimestepEmbedding
from torch import Tensor, nn

from glassine.errors import UserError

# deciles of training clips of the Fluent stickers: 8 frames of random parts; 16 of whole ones, each group once
EIGHT_FRAMES = (0.0086, 0.0123, 0.0159, 0.0192, 0.0242, 0.0294, 0.0345, 0.0400, 0.0597)
SIXTEEN_FRAMES = (0.0085, 0.0134, 0.0176, 0.0208, 0.0250, 0.0286, 0.0343, 0.0408, 0.0516)


def motion_amount(foreground: Tensor, alpha: Tensor) -> Tensor:
    """Mean absolute difference of neighbouring frames, `b` in [0, 1].

    Of premultiplied RGBA, so that colours that nobody sees do not count; over all pixels, so that a small thing that
    moves counts little. It is the change from frame to frame, whatever the time between them. A single frame does not
    move.

    Args:
        foreground: straight colours `b f 3 h w` in [0, 1].
        alpha: `b f 1 h w` in [0, 1].
    """
    rgba = torch.cat([foreground * alpha, alpha], dim=2)  # b f 4 h w
    if rgba.shape[1] < 2:
        return rgba.new_zeros(len(rgba))
    return (rgba[:, 1:] - rgba[:, :-1]).abs().flatten(1).mean(1)


def motion_bucket(amount: Tensor, thresholds: Sequence[float] = EIGHT_FRAMES) -> Tensor:
    """The bucket `b` of each amount `b`: how many of the rising `thresholds` it reaches.

    Raises:
        UserError: thresholds that do not rise.
    """
    if any(high <= low for low, high in pairwise(thresholds)):
        raise UserError(f"motion thresholds {tuple(thresholds)} came; each must be above the one before")
    return torch.bucketize(amount.detach(), amount.new_tensor(thresholds), right=True)


class MotionTimeEmbedding(TimestepEmbedding):
    """diffusers' time embedding, with a learned vector for the motion bucket added to it.

    Animated Stickers (arXiv 2402.06088) buckets training clips by motion as well. The vectors start at zero: an
    untrained one changes nothing. One more, the last, stands for an amount that is not told.

    Args:
        in_channels: as in `TimestepEmbedding`.
        time_embed_dim: likewise.
        act_fn: likewise.
        buckets: how many amounts there are.
    """

    def __init__(self, in_channels: int, time_embed_dim: int, act_fn: str = "silu", buckets: int = 10) -> None:
        super().__init__(in_channels, time_embed_dim, act_fn)
        self.motion = nn.Embedding(buckets + 1, time_embed_dim)
        nn.init.zeros_(self.motion.weight)

    def forward(self, sample: Tensor, condition: Tensor | None = None) -> Tensor:
        """`b d` of the time step's waves `b c` and the bucket `b`; diffusers hands the latter through."""
        embedding = super().forward(sample)
        return embedding if condition is None else embedding + self.motion(condition)
