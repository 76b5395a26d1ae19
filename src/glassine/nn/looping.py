"""Clips that loop: the frame after the last one is the first.

A temporal layer that wraps around sees the clip as a circle. Attention over frames without positions does so anyway;
convolutions are padded with the frames of the other end, and positions lie on a circle.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn


def cycle(length: int, channels: int, like: Tensor) -> Tensor:
    """`length channels`: sinusoids of whole periods, so that the last position is as near to the first as any neighbor.

    Args:
        length: number of positions.
        channels: even.
        like: tensor whose device and dtype are taken.
    """
    turns = torch.arange(length, device=like.device, dtype=torch.float32) * (2 * math.pi / length)
    harmonics = 1 + torch.arange(channels // 2, device=like.device) % max(1, length // 2)
    angles = turns[:, None] * harmonics
    return torch.cat([angles.sin(), angles.cos()], dim=-1).to(like.dtype)


def wrap_around(layers: Iterable[nn.Module], wraps: bool = True) -> None:
    """Let temporal layers see clips as circles, or as lines again; no weights change.

    Args:
        layers: modules whose 3D convolutions are temporal, `k x 1 x 1`; those with positions have an attribute `wraps`.
        wraps: whether the first frame follows the last.
    """
    for layer in layers:
        for module in layer.modules():
            if isinstance(module, nn.Conv3d):
                module.padding_mode = "circular" if wraps else "zeros"
            elif hasattr(module, "wraps"):
                module.wraps = wraps  # type: ignore[assignment]


def neighbor_changes(clips: Tensor, wraps: bool = False) -> Tensor:
    """Differences of neighboring frames, `b f ...` to `b f-1 ...`; `b f ...` with that of the ends if it wraps."""
    return clips.roll(-1, dims=1) - clips if wraps else clips.diff(dim=1)
