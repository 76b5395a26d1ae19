"""Shapes, places and surroundings of closed areas, as numbers.

They say more than the few numbers of the rule in `regions` where JPEG and palettes have moved colors, and where
stickers are of many styles: a white mark on a colored tile is a part, a ring's middle is a hole.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from glassine.pipelines.closed_form import LUMA_ROW, Evidence

Places = tuple[NDArray[np.intp], ...]  # rows and columns
SHAPES = (
    "touches outside",  # background within 10 pixels, over the length of the rim
    "size", "solid", "round", "filled", "tall", "of its box",
    "height", "off center",  # where it lies in the sticker
    "areas", "of the largest", "twin",  # an area of the same size beside it, as the other eye
    "wall",  # pixels from the outside
    "wall's luma", "wall's saturation", "wall's spread", "wall's black", "walled",
    "difference", "texture",  # of its pixels
    "background's luma", "background's saturation", "noise", "damaged", "patterned",
    "sticker's size", "sticker tall", "contrast",
)  # fmt: skip
BLACK, SEEN = 75, 8  # luma below which a wall is a black line, difference from which a pixel is a wall


def shape_features(
    evidence: Evidence,
    outside: NDArray[np.bool_],
    areas: NDArray[np.int32],
    places: Sequence[Places],
    depth: NDArray[np.float32],
) -> NDArray[np.float32]:
    """What the networks look at, of each closed area besides `regions.FEATURES`: `n len(SHAPES)`.

    Args:
        evidence: the picture.
        outside: `h w`, what is surely background.
        areas: `h w`, see `ClosedForm.areas`.
        places: rows and columns of the pixels of areas 1 to n.
        depth: `h w`, pixels to the outside.
    """
    body = ~outside
    rows, columns = np.nonzero(body)
    top, left = int(rows.min()), int(columns.min())
    tall, wide = int(rows.max()) + 1 - top, int(columns.max()) + 1 - left
    middles = [(float(r.mean()), float(c.mean()), len(r)) for r, c in places]
    largest = max((count for _, _, count in middles), default=1)
    common = (
        evidence.noise / 4,
        float(evidence.damaged),
        float(evidence.patterned),
        np.log(max(1, len(rows)) / body.size),
        tall / wide,
    )
    found = []
    for number, ((r, c), (row, column, count)) in enumerate(zip(places, middles, strict=True)):
        box = tuple(
            slice(max(0, int(values.min()) - 6), int(values.max()) + 7) for values in (r, c)
        )  # cut off at the far side by numpy
        outline, walls, inner = _looks(evidence, areas[box] == number + 1, outside[box], box)
        others = [other for place, other in enumerate(middles) if place != number]
        height, width = int(np.ptp(r)) + 1, int(np.ptp(c)) + 1
        found.append(
            (
                outline[0],
                np.log(count),
                *outline[1:],
                height / width,
                count / (height * width),
                (row - top) / tall,
                abs(column - left - wide / 2) / wide,
                np.log(len(places)),
                np.log(count / largest),
                max((_twin((row, column, count), other, tall, wide) for other in others), default=0.0),
                min(float(depth[r, c].min()), 40.0) / 8,
                *walls[:5],
                *inner[:4],
                *common,
                abs(walls[0] - inner[2]),
            )
        )
    return np.asarray(found, np.float32).reshape(-1, len(SHAPES))


def _looks(
    evidence: Evidence, mask: NDArray[np.bool_], outside: NDArray[np.bool_], box: tuple[slice, ...]
) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """Numbers of an area's outline, of the wall around it, and of its inside."""
    part = mask.astype(np.uint8)
    picture, behind = (plane[box].astype(np.float32) for plane in (evidence.picture, evidence.behind))
    distance = evidence.distance[box]
    contours, _ = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = cv2.contourArea(cv2.convexHull(np.concatenate(contours)))
    length = sum(cv2.arcLength(contour, True) for contour in contours)
    filled = sum(cv2.contourArea(contour) for contour in contours)
    count = int(part.sum())
    near = cv2.dilate(part, np.ones((3, 3), np.uint8))
    ring = cv2.dilate(part, np.ones((7, 7), np.uint8)) > near
    shore = (cv2.dilate(part, np.ones((21, 21), np.uint8)) > near) & outside
    wall = ring & (distance > SEEN)
    colors = picture[wall] if wall.sum() > 4 else picture[ring] if ring.any() else np.zeros((1, 3), np.float32)
    middle, luma = np.median(colors, axis=0), colors @ LUMA_ROW[0]
    ground = behind[mask].mean(axis=0)
    outline = (
        float(shore.sum() / max(1, ring.sum())),
        count / max(1.0, hull),
        float(4 * np.pi * filled / max(1.0, length * length)),
        count / max(1.0, filled) if filled else 0.0,
    )
    walls = (
        float(middle @ LUMA_ROW[0]) / 255,
        float(np.ptp(middle)) / 255,
        float(luma.std()) / 64,
        float((luma < BLACK).mean()),
        float(wall.sum() / max(1, ring.sum())),
    )
    inner = (
        float(distance[mask].mean()) / 8,
        float(picture[mask].std(axis=0).max()) / 16,
        float(ground @ LUMA_ROW[0]) / 255,
        float(np.ptp(ground)) / 255,
    )
    return outline, walls, inner


def _twin(one: tuple[float, float, int], other: tuple[float, float, int], tall: int, wide: int) -> float:
    """How far another area is this one's counterpart beside it, in [0, 1]."""
    alike = min(one[2], other[2]) / max(one[2], other[2])
    level, apart = abs(one[0] - other[0]) / tall, abs(one[1] - other[1]) / wide
    return alike * max(0.0, 1 - 4 * level) * min(1.0, 4 * apart)
