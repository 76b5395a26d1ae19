"""Sinusoids that tell tokens of a clip apart by frame, row and column."""

import math

import torch
from torch import Tensor

MAX_PERIOD = 10_000


def clip_positions(frames: int, height: int, width: int, channels: int, like: Tensor) -> Tensor:
    """`(f h w) c`: a third of the channels each for row and column, the rest for the frame, in the dtype of `like`.

    `channels` is even and at least 6.
    Computed at each call and kept in no buffer: any size goes, and nothing is lost when a network is made without
    memory and filled from a file.
    """
    third = channels // 6 * 2
    grid = (frames, height, width)
    parts = [
        sinusoid(frames, channels - 2 * third, like)[:, None, None].expand(*grid, -1),
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
