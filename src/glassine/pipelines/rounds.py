"""Round gradients of any number of stops: colors that depend on the distance from one point.

The point is searched for on the border, as the direction of a ramp is (`ramps`). Colors nearer to it than the border
are followed inward, ring by ring, as long as the picture goes on smoothly.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from glassine.pipelines.insets import Floats, Picture, largest_difference
from glassine.pipelines.ramps import changes, colors_at, explained, misfit, smooth_line

Point = tuple[float, float]  # in widths and heights of the picture
GRID = np.linspace(0, 1, 17).tolist()
STARTS, MOST_MOVES = 4, 8
STEPS = (0.03, 0.015, 0.007, 0.003)
MOST_PIXELS = 600  # of the border, in the search
LEAST = 0.85  # of the border
FAR = (
    17.5  # of 255: on validation stickers the grid's best point is nearer than 17 before gradients, 18 on before scenes
)
GOES_ON = 6.0  # of 255: how far a ring's colors are from what the rings before it foretell
LEAST_RING = 0.08  # share of a ring that goes on


def find_round(picture: Picture, border: Floats, px: Floats, py: Floats) -> Floats | None:
    """The colors of the round gradient that explains most of the border, at every pixel.

    Args:
        picture: `h w 3`.
        border: its outermost pixels, `n 3` in 0..255.
        px: their columns, `n`.
        py: their rows.

    Returns:
        `h w 3` in 0..255; None where no point explains enough of the border, or colors change as at an edge.
    """
    height, width = picture.shape[:2]
    stretch = width / height  # rings are as wide and tall as the picture

    def away(x: Floats, y: Floats, point: Point) -> Floats:
        return np.hypot(x - point[0] * width, (y - point[1] * height) * stretch)

    if not changes(border):
        return None
    few = slice(None, None, max(1, len(border) // MOST_PIXELS))

    def error(point: Point) -> float:
        return misfit(border[few], away(px[few], py[few], point))

    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    found: tuple[float, Floats] | None = None
    for start in _starts(error):
        point = _improved(error, start)
        along = away(px, py, point)
        line = smooth_line(border, along) if explained(border, along) > LEAST else None
        if line is None:
            continue
        radius = away(columns, rows, point)
        colors = colors_at(radius, *_followed_inward(picture, radius, *line))
        # rings around several points explain a border; the picture inside goes on with those around one
        reached = float((largest_difference(picture, colors) <= GOES_ON).mean())
        if found is None or reached > found[0]:
            found = reached, colors
    return None if found is None else found[1]


def _starts(error: Callable[[Point], float]) -> list[Point]:
    """The best points of a grid that are no neighbors, best first; none if the best is far from the border's colors."""
    chosen: list[Point] = []
    for away, (x, y) in sorted((error((x, y)), (x, y)) for x in GRID for y in GRID):
        if not chosen and away > FAR:
            break
        if all(max(abs(x - u), abs(y - v)) > 0.15 for u, v in chosen):
            chosen.append((x, y))
        if len(chosen) == STARTS:
            break
    return chosen


def _improved(error: Callable[[Point], float], point: Point) -> Point:
    """Move the point by smaller and smaller steps as long as the border fits better."""
    least = error(point)
    for step in STEPS:
        for _ in range(MOST_MOVES):
            around = [(point[0] + step * i, point[1] + step * j) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]
            other, where = min((error(near), near) for near in around)
            if other >= least:
                break
            least, point = other, where
    return point


def _followed_inward(picture: Picture, radius: Floats, places: Floats, colors: Floats) -> tuple[Floats, Floats]:
    """The line with colors for radii below its first place, a pixel apart."""
    first = int(places[0])
    ring = radius.astype(np.int64).reshape(-1)
    inside = np.flatnonzero(ring < first)
    order = inside[np.argsort(ring[inside], kind="stable")]
    bounds = np.searchsorted(ring[order], np.arange(first + 1))
    pixels = picture.reshape(-1, 3)
    known = np.searchsorted(places, places[0] + 6)
    color = colors[0].astype(np.float64)
    slope = (
        (color - colors[known]) / max(float(places[known] - places[0]), 1.0) if 0 < known < len(places) else 0 * color
    )
    new_places: list[float] = []
    new_colors: list[NDArray[np.float64]] = []
    for number in range(first - 1, -1, -1):
        color = np.clip(color + slope, 0, 255)
        seen = pixels[order[bounds[number] : bounds[number + 1]]].astype(np.float64)
        goes_on = np.abs(seen - color).max(axis=1, initial=0) <= GOES_ON
        if goes_on.sum() >= max(3, LEAST_RING * len(seen)):
            found = np.median(seen[goes_on], axis=0)
            slope += 0.3 * (found - color)
            color = found
        new_places.append(number + 0.5)
        new_colors.append(color)
    if not new_places:
        return places, colors
    return (
        np.concatenate([np.asarray(new_places[::-1], np.float32), places]),
        np.concatenate([np.asarray(new_colors[::-1], np.float32), colors]),
    )
