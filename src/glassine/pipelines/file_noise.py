"""What compression and dithering have done to a file: how far background pixels are moved, and the tolerance for it."""

import cv2
import numpy as np
from numpy.typing import NDArray

from glassine.pipelines.background_models import connected_to_border
from glassine.pipelines.insets import Floats, Picture

Mask = NDArray[np.bool_]
EXACT = 1.5
TAIL = 1.5  # 255ths: the border's noise is its 95th percentile, and what is left beyond it stays as specks
MOST_TAIL = 12.0  # 255ths: a tolerance that the tail does not raise any further
UNEVEN = 2.5  # 255ths: blocks of a gradient that compression has touched are noisy themselves, some more than others
GENEROUS = (12.0, 8.0, 4.0)  # tolerances, in 255ths, that an undamaged file may have
SHARP, CLEAR = 0.9, 60.0  # share of an edge, 255ths: see `ends_clearly`
THIN = 4.0
PALE = 24  # pixels
BLOCK = 12  # pixels: compression disturbs no further from an edge
MOST_NOISE = 14.0
_SECOND = np.array([[1, -2, 1]], np.float32)
ROUGH = (_SECOND.T @ _SECOND / 4, _SECOND / 3, _SECOND.T / 3)
CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)


def disc(radius: int) -> NDArray[np.uint8]:
    """A disc of 1 in a square of side `2 * radius + 1`."""
    squares = np.square(np.arange(-radius, radius + 1))
    return (np.add.outer(squares, squares) <= radius * (radius + 1)).astype(np.uint8)


def noise_near_edges(
    picture: Picture, distance: Floats, border_noise: float = 0.0, uneven: bool = False
) -> tuple[float, float]:
    """How far compression has moved background pixels, in 255ths (0 for an undamaged file); and a tolerance for it.

    The border of a picture is often exact even after JPEG: blocks without an edge stay as they are. What blocks with an
    edge have done to the background lies between what a fill without tolerance reaches and what a generous one does.
    An undamaged edge leaves hardly a pixel there. Soft glows and shading do, but they are smooth, where ringing is
    rough; and where a generous fill runs deep into something, that is no noise but the sticker. A background that
    changes (`uneven`) is exact nowhere after JPEG: more of its noise is let through than its border shows.
    """
    if uneven:
        tail, most = UNEVEN * np.clip((border_noise - 0.4) / 0.4, 0, 1), THIN
    else:
        tail, most = TAIL * np.clip(5 * border_noise - 4.5, 0, 1), MOST_TAIL
    least = max(EXACT, 1.2 * border_noise, min(1.2 * border_noise + float(tail), most))
    exact = distance <= least
    outside = connected_to_border(exact)
    # single pixels of a noisy background are not what lies before an edge
    calm_outside = cv2.morphologyEx(outside.astype(np.uint8), cv2.MORPH_CLOSE, disc(2)) > 0 if border_noise else outside
    rough: Mask | None = None
    for limit in (MOST_NOISE, 9.0, 6.0):
        if limit <= least:
            break
        reached = connected_to_border(distance <= limit)
        between = reached & ~calm_outside
        edge = int((cv2.dilate(reached.astype(np.uint8), CROSS) > reached).sum())
        if between.sum() < max(20, 1.3 * edge):
            break
        if _depth(reached, between) > BLOCK:
            continue
        if rough is None:
            rough = _roughness(picture)
        # noise, unlike texture, also leaves pixels of the background's very color by chance, in islands
        islands = cv2.connectedComponentsWithStats((reached & exact & ~outside).astype(np.uint8), connectivity=4)[2]
        chance = int((islands[1:, cv2.CC_STAT_AREA] < 20).sum())
        if rough[between].mean() >= 0.45 and (border_noise >= EXACT or chance >= max(2, 0.015 * edge)):
            noise = float(np.clip(np.percentile(distance[between], 95) + 1, least, limit))
            return noise, noise
    if is_dithered(picture, ~outside):
        reached = connected_to_border(distance <= 6)
        level = 6.0 if _depth(reached, reached & ~outside) <= BLOCK else 4.0
        return max(level, border_noise), max(level, least)
    # more than exact costs nothing where the fill still ends at a clear edge, and takes dithering and faint halos
    for level in GENEROUS:
        if level <= least:
            break
        reached = connected_to_border(distance <= level)
        between = reached & ~outside
        halo = level <= THIN or _depth(reached, between) > 2.5  # what is thinner is the edge's own softness
        if halo and ends_clearly(distance, reached, between) >= SHARP:
            return border_noise, level
    return border_noise, least


def ends_clearly(distance: Floats, reached: Mask, between: Mask) -> float:
    """Share of the edge of `reached` beside `between` behind which the picture differs clearly from the background.

    0 where a part of `between` of some size has no such edge: a pale thing of its own, rather than a halo.
    """
    if not between.any():
        return 1.0
    shore = (cv2.dilate(between.astype(np.uint8), CROSS) > 0) & ~reached
    clear = shore & (cv2.dilate(distance, np.ones((5, 5), np.uint8)) >= CLEAR)
    if not clear.any():
        return 0.0
    count, labels, stats, _ = cv2.connectedComponentsWithStats(between.astype(np.uint8), connectivity=8)
    beside = np.zeros(count, bool)
    beside[np.unique(labels[(cv2.dilate(clear.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0) & between])] = True
    if (stats[1:, cv2.CC_STAT_AREA][~beside[1:]] >= PALE).any():
        return 0.0
    return float(clear.sum() / shore.sum())


def is_dithered(picture: Picture, inside: Mask) -> bool:
    """Whether the sticker is made of few colors that alternate from pixel to pixel, as GIF encoders leave it."""
    inside = cv2.erode(inside.astype(np.uint8), disc(3)) > 0  # every edge is rough
    colors = picture[inside][::3]
    if len(colors) < 300:
        return False
    packed = colors.astype(np.int32) @ np.array((65536, 256, 1), np.int32)
    if len(np.unique(packed)) > 256:
        return False
    return float(_roughness(picture)[inside].mean()) > 0.35


def _depth(reached: Mask, between: Mask) -> float:
    """How deep `between` lies in `reached`, in pixels (the 95th percentile)."""
    if not between.any():
        return 0.0
    depth = cv2.distanceTransform(reached.astype(np.uint8), cv2.DIST_C, 3)
    return float(np.percentile(depth[between], 95))


def _roughness(picture: Picture) -> Mask:
    """Where neighboring pixels alternate; ringing along an upright edge has no mixed difference, so three are taken."""
    rough = np.zeros(picture.shape[:2], bool)
    for kernel in ROUGH:
        rough |= np.abs(cv2.filter2D(picture.astype(np.float32), -1, kernel)).max(axis=2) >= 0.7
    return rough
