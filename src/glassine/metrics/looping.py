"""How well a clip loops: does its last frame go over into its first as its frames go over into each other?"""

import torch
from torch import Tensor


def loop_gap(clips: Tensor) -> Tensor:
    """The change from the last frame to the first, as a multiple of the mean change between neighboring frames.

    Mean absolute differences of premultiplied pixels, so that invisible colors do not count. 1 where the end goes over
    into the start as evenly as everything else; `f-1` for a thing that drifts in one direction and jumps back; below 1
    for a clip that returns early. A clip that holds still has no gap: 0.

    Args:
        clips: straight RGBA `b f 4 h w` in [0, 1], at least two frames.

    Returns:
        `b`, at least 0, at most `f-1`.
    """
    if clips.ndim != 5 or clips.shape[1] < 2 or clips.shape[2] != 4:
        raise ValueError(f"clips must be `b f 4 h w` of at least two frames, got shape {tuple(clips.shape)}")
    alpha = clips[:, :, 3:]
    visible = torch.cat([clips[:, :, :3] * alpha, alpha], dim=2)  # b f 4 h w
    between = visible.diff(dim=1).abs().flatten(2).mean(2).mean(1)  # b
    ends = (visible[:, 0] - visible[:, -1]).abs().flatten(1).mean(1)  # b
    return torch.where(between > 0, ends / between.clamp(min=1e-12), 0.0)
