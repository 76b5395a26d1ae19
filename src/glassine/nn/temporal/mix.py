"""Learned mixes of two branches."""

import math

import torch
from torch import Tensor, nn

from glassine.errors import UserError


class LearnedMix(nn.Module):
    """`a + share * (b - a)`, the share a sigmoid of a learned number.

    Args:
        share: of b at first, between 0 and 1, both excluded.
        channels: one number for each of so many channels; 1 is one for all.

    Raises:
        UserError: a share out of its range.
    """

    def __init__(self, share: float = 0.5, channels: int = 1) -> None:
        super().__init__()
        if not 0 < share < 1:
            raise UserError(f"a share of {share} came; give a number between 0 and 1, both excluded")
        self.logit = nn.Parameter(torch.full((channels,), math.log(share / (1 - share))))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """`n c h w` twice to the same; equal branches come out as they are."""
        share = self.logit.sigmoid()[:, None, None].to(a.dtype)
        return a + share * (b - a)


class FreeMix(nn.Module):
    """`first * a + second * b` with two learned numbers, `1 - share` and `share` at first."""

    def __init__(self, share: float = 0.5) -> None:
        super().__init__()
        self.factors = nn.Parameter(torch.tensor([1 - share, share]))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """`n c h w` twice to the same."""
        first, second = self.factors.to(a.dtype)
        return first * a + second * b
