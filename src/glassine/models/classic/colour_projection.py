"""Flood fill whose edges are un-mixed by colour: the strongest of the simple methods on clean flat backgrounds."""

import cv2
import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn

from .outside import Mask, Pixels, background_distance, clip_pixels, connected_to_border


class ColourProjection(nn.Module):
    """Flood fill from the border, then alpha by colour in a band along the edge.

    A pixel there is taken as a mixture of the background B and of the nearest solid colour F further in; alpha is its
    colour C projected on the line between both, (C - B)(F - B) / |F - B|^2.

    Args:
        tolerance: Largest difference of any channel from the background while filling, in parts of the full range.
        band: Width of the edge band in pixels.

    The defaults are one compromise for all files at 256 px. A band of 1 is better by 2 dB on undamaged pictures; on
    white with JPEG 75, a tolerance of 12 / 255 and a band of 3 are better by 10 dB.
    """

    def __init__(self, tolerance: float = 0.02, band: int = 2) -> None:
        super().__init__()
        self.tolerance = tolerance
        self.band = band

    def forward(self, clip: Tensor, background: Tensor | None = None) -> Tensor:
        """Find alpha `b f 1 h w` in [0, 1] of `clip` (`b f 3 h w` in [0, 1]); `background` is `b 3` or estimated."""
        frames, colours = clip_pixels(clip, background)
        planes = []
        for frame, colour in zip(frames, colours, strict=True):
            outside = connected_to_border(background_distance(frame, colour) <= self.tolerance)
            planes.append(self._alpha(frame, colour, outside))
        return rearrange(torch.from_numpy(np.stack(planes)).to(clip), "(b f) h w -> b f 1 h w", b=len(clip))

    def _alpha(self, frame: Pixels, background: Pixels, outside: Mask) -> Pixels:
        """Return `h w`: 0 on `outside`, 1 deep inside, between them by colour."""
        depth = cv2.distanceTransform(1 - outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        solid = (depth > self.band).astype(np.uint8)
        alpha = 1 - outside.astype(np.float32)
        if not solid.any():
            return alpha
        edge = (outside == 0) & (solid == 0)
        solid_colour = _nearest(frame, solid)[edge] - background  # n 3
        difference = frame[edge] - background
        length = np.maximum(np.square(solid_colour).sum(axis=-1), 1e-4)
        alpha[edge] = np.clip((difference * solid_colour).sum(axis=-1) / length, 0, 1)
        return alpha


def _nearest(frame: Pixels, solid: Mask) -> Pixels:
    """Return for each pixel the colour `h w 3` of the nearest pixel where `solid` is 1."""
    _, labels = cv2.distanceTransformWithLabels(1 - solid, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    table = np.zeros((labels.max() + 1, 3), np.float32)
    table[labels[solid > 0]] = frame[solid > 0]
    return table[labels]
