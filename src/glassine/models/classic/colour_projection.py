"""Flood fill whose edges are un-mixed by colour: the strongest of the simple methods on clean flat backgrounds."""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor, nn

from .outside import Mask, Pixels, background_distance, clip_pixels, connected_to_border


class ColourProjection(nn.Module):
    """Flood fill from the border, then alpha by colour in a band along the edge.

    A pixel there is taken as a mixture of the background B and of the nearest solid colour F further in; alpha is its
    colour C projected on the line between both, (C - B)(F - B) / |F - B|^2.

    Args:
        tolerance: Largest difference of any channel from the background while filling, in parts of the full range.
        band: Width of the edge band in pixels.
        median: Width of the median filter (3 or 5) that takes compression noise from what is filled and from F; 0 for
            none.
        gap: The fill passes no opening that a disc of this radius in pixels does not pass, so that it does not run
            through a thin outline with a hole in it; 0 lets it.

    Raises:
        ValueError: `median` is not 0, 3 or 5.

    The defaults are one compromise for all files at 256 px. For 40 stickers of the training split, tolerance 0.012 and
    band 1 are best on undamaged pictures; `for_damaged_files` on their own colour with JPEG 75.
    """

    def __init__(self, tolerance: float = 0.02, band: int = 2, median: int = 0, gap: int = 0) -> None:
        super().__init__()
        if median not in (0, 3, 5):
            raise ValueError(f"the median's width is {median}; it must be 0, 3 or 5")
        self.tolerance, self.band, self.median, self.gap = tolerance, band, median, gap

    def forward(self, clip: Tensor, background: Tensor | None = None) -> Tensor:
        """Find alpha `b f 1 h w` in [0, 1] of `clip` (`b f 3 h w` in [0, 1]); `background` is `b 3` or estimated."""
        with ThreadPoolExecutor() as threads:  # numpy and OpenCV let go of Python's lock
            planes = list(threads.map(self._plane, *clip_pixels(clip, background)))
        return rearrange(torch.from_numpy(np.stack(planes)).to(clip), "(b f) h w -> b f 1 h w", b=len(clip))

    def _plane(self, frame: Pixels, background: Pixels) -> Pixels:
        """Return alpha `h w` of one frame `h w 3`."""
        calm = np.asarray(cv2.medianBlur(frame, self.median), np.float32) if self.median else frame
        outside = self._fill(background_distance(calm, background) <= self.tolerance)
        alpha = 1 - outside.astype(np.float32)
        offsets = np.square(np.arange(-self.band, self.band + 1))
        disc = (np.add.outer(offsets, offsets) <= self.band**2).astype(np.uint8)
        solid = cv2.erode(1 - outside, disc) > 0  # more than `band` pixels away from all that is outside
        if not solid.any():
            return alpha
        edge = (outside == 0) & ~solid
        solid_colour = _nearest(calm, solid, edge) - background  # n 3
        difference = frame[edge] - background
        length = np.maximum(np.square(solid_colour).sum(axis=-1), 1e-4)
        alpha[edge] = np.clip((difference * solid_colour).sum(axis=-1) / length, 0, 1)
        return alpha

    def _fill(self, near: Mask) -> NDArray[np.uint8]:
        """Return 1 outside the sticker: where `near` holds and is connected to the border by openings wide enough."""
        if not self.gap:
            return connected_to_border(near)
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * self.gap + 1, 2 * self.gap + 1))
        plane = near.astype(np.uint8)
        core = connected_to_border(cv2.erode(plane, disc, borderValue=1) > 0)
        return np.asarray(cv2.dilate(core, disc), np.uint8) & plane


def for_damaged_files() -> ColourProjection:
    """The best of 180 settings on 40 stickers of the training split, on their own colours with JPEG 75."""
    return ColourProjection(tolerance=0.02, band=4, median=5, gap=1)


def _nearest(frame: Pixels, solid: Mask, wanted: Mask) -> Pixels:
    """Return for each of n `wanted` pixels the colour, `n 3`, of the nearest pixel where `solid` holds."""
    _, labels = cv2.distanceTransformWithLabels(
        1 - solid.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    places = np.flatnonzero(solid)
    place_of = np.zeros(len(places) + 1, np.int64)  # each solid pixel has a label of its own, from 1
    place_of[labels.reshape(-1)[places]] = places
    return frame.reshape(-1, 3)[place_of[labels[wanted]]]
