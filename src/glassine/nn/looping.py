"""Looping clips, in which the first frame follows the last.

In a temporal layer that wraps around, convolutions over time have circular padding, and position embeddings are
periodic. Attention over frames without positions needs no change.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn


def cycle(length: int, channels: int, like: Tensor) -> Tensor:
    """Periodic position embeddings `length channels`: the last position is as close to the first as to its neighbor.

    Args:
        length: number of positions, the period.
        channels: number of channels, even.
        like: tensor that determines device and dtype.
    """
    turns = torch.arange(length, device=like.device, dtype=torch.float32) * (2 * math.pi / length)
    harmonics = 1 + torch.arange(channels // 2, device=like.device) % max(1, length // 2)
    angles = turns[:, None] * harmonics
    return torch.cat([angles.sin(), angles.cos()], dim=-1).to(like.dtype)


def wrap_around(layers: Iterable[nn.Module], wraps: bool = True) -> None:
    """Set whether temporal layers treat clips as loops; does not change weights.

    Args:
        layers: modules whose 3D convolutions are temporal, `k x 1 x 1`; submodules with positions have an attribute
            `wraps`.
        wraps: whether the first frame follows the last.
    """
    for layer in layers:
        for module in layer.modules():
            if isinstance(module, nn.Conv3d):
                module.padding_mode = "circular" if wraps else "zeros"
            elif hasattr(module, "wraps"):
                module.wraps = wraps  # type: ignore[assignment]


def neighbor_changes(clips: Tensor, wraps: bool = False) -> Tensor:
    """Differences of neighboring frames, `b f ...` to `b f-1 ...`; if `wraps`, also of last to first: `b f ...`."""
    return clips.roll(-1, dims=1) - clips if wraps else clips.diff(dim=1)
