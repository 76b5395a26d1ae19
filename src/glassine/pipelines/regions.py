"""Closed areas of the background's color: each is a hole of the sticker or a part of it, and gets one answer.

What an area looks like is summed up in a few numbers; a logistic function of them, fitted on stickers of the training
split of five styles, says how likely it is a hole. Evidence is pooled over the frames through which an area can be
followed.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from glassine.pipelines.closed_form import Evidence

FEATURES = (
    "white",  # the background is white: as eyes, teeth, paper and snow are
    "extreme",  # the background is nearly white or nearly black
    "textured",  # the background is a picture, which an area must match pixel by pixel
    "share",  # log of the area's share of the sticker
    "round",  # 4 pi area / circumference^2
    "islands",  # whether something lies within it, as the pupil of an eye
    "dark wall",  # how far the colors around it lie from the background
    "even wall",  # how alike these colors are
    "thin wall",  # whether the outside is only a line's width away
    "exact",  # share of its pixels that have the background's color exactly
)


@dataclass(frozen=True)
class Area:
    """One closed area in one frame: its number in `ClosedForm.areas`, its pixels, and its features."""

    number: int
    pixels: int
    features: NDArray[np.float64]
    surely_solid: bool = False


def describe(evidence: Evidence, outside: NDArray[np.bool_], areas: NDArray[np.int32]) -> list[Area]:
    """The features of every closed area of one picture."""
    count = int(areas.max(initial=0))
    if not count:
        return []
    height, width = areas.shape
    behind, distance = evidence.behind, evidence.distance
    sticker = max(1, int((~outside).sum()))
    from_outside = cv2.distanceTransform((~outside).astype(np.uint8), cv2.DIST_L2, 3)
    found = []
    for number in range(1, count + 1):
        rows, columns = np.nonzero(areas == number)
        top, bottom = max(0, rows.min() - 4), min(height, rows.max() + 5)
        left, right = max(0, columns.min() - 4), min(width, columns.max() + 5)
        part = (areas[top:bottom, left:right] == number).astype(np.uint8)
        away, colors = distance[top:bottom, left:right], evidence.picture[top:bottom, left:right].astype(np.float32)
        contours, tree = cv2.findContours(part, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        outer = max(contours, key=len)
        circumference = max(cv2.arcLength(outer, True), 4.0)
        hull = cv2.contourArea(outer) + circumference / 2
        inner = 0
        if tree is not None:
            inner = sum(cv2.contourArea(c) > 3 for c, link in zip(contours, tree[0], strict=True) if link[3] >= 0)
        wall = (cv2.dilate(part, np.ones((7, 7), np.uint8)) > cv2.dilate(part, np.ones((3, 3), np.uint8))) & (away > 8)
        seen = away[wall]
        spread = float(colors[wall].std(axis=0).max()) if wall.sum() > 4 else 60.0
        back = behind[rows, columns]
        low, high = float(back.min()), float(back.max())
        ends = min(255 - float(back.mean(axis=0).min()), float(back.mean(axis=0).max()))
        features = (
            float(low > 243),
            float(ends < 16),
            float(high - low > 12 and float(np.ptp(back, axis=0).max()) > 8),
            float(np.log(len(rows) / sticker)),
            float(min(1.0, 4 * np.pi * hull / circumference**2)),
            float(inner > 0),
            float(np.median(seen)) / 255 if len(seen) else 0.0,
            1 - min(1.0, spread / 60),
            float(np.clip(1.5 - from_outside[rows, columns].min() / 8, 0, 1)),
            float((distance[rows, columns] <= 0.5).mean()),
        )
        found.append(Area(number, len(rows), np.asarray(features)))
    return found


WEIGHTS = np.asarray([-3.0, -0.5, 1.0, -0.3, 0.0, -1.0, 0.0, 0.5, 0.0, 1.0])
BIAS = 0.5


def hole_evidence(area: Area) -> float:
    """Log odds that a closed area is a hole."""
    if area.surely_solid:
        return -5.0
    return float(np.clip(area.features @ WEIGHTS + BIAS, -5, 5))
