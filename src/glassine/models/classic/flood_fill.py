"""Flood fill from the border, as the magic wand of paint programs does."""

import cv2
import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn

from .outside import background_distance, clip_pixels, connected_to_border


class FloodFill(nn.Module):
    """Alpha is 0 where the background's colour is connected to the border; the edge between is a soft ramp.

    Regions of the background's colour inside the sticker (eye whites, but real holes too) stay opaque.

    Args:
        tolerance: Largest difference of any channel from the background, in parts of the full range.
        softness: Standard deviation of the soft edge in pixels; 0 leaves it hard.
    """

    def __init__(self, tolerance: float = 0.02, softness: float = 1.0) -> None:
        super().__init__()
        self.tolerance = tolerance
        self.softness = softness

    def forward(self, clip: Tensor, background: Tensor | None = None) -> Tensor:
        """Find alpha `b f 1 h w` in [0, 1] of `clip` (`b f 3 h w` in [0, 1]); `background` is `b 3` or estimated."""
        frames, colours = clip_pixels(clip, background)
        planes = []
        for frame, colour in zip(frames, colours, strict=True):
            inside = 1 - connected_to_border(background_distance(frame, colour) <= self.tolerance).astype(np.float32)
            if self.softness > 0:
                # The fill stops where the edge's ramp begins, so the ramp lies inside: never outside the filled region
                inside = inside * np.clip(2 * cv2.GaussianBlur(inside, (0, 0), self.softness) - 1, 0, 1)
            planes.append(inside)
        return rearrange(torch.from_numpy(np.stack(planes)).to(clip), "(b f) h w -> b f 1 h w", b=len(clip))
