"""Linear gradients of any number of stops, in any direction: colors that depend on one coordinate across the picture.

A smooth surface (`background_models`) turns too slowly where two stops meet. Each line across the direction of a ramp
meets the border twice, so that the border alone tells every color of it.
"""

import numpy as np

from glassine.pipelines.insets import Floats, Picture

MOST_BINS = 96  # of the ramp, while its direction is looked for
PIXELS_A_BIN = 8  # of the border, on average, at least
PIXELS_A_BIN_AT_LAST = 3  # bins about a pixel wide: wider ones would blur an edge into a slope
AGREES = 10  # of 255: a border pixel that is this close to the ramp belongs to it
STEEP = 12.0  # of 255 a pixel: what changes faster is an edge
COARSE = 12  # bins of the ramp, at first
CHANGES = 30  # of 255: less is noise
LEAST = 0.8  # of the border


def find_ramp(picture: Picture, border: Floats, px: Floats, py: Floats) -> Floats | None:
    """The colors of the ramp that explains most of the border, at every pixel.

    Args:
        picture: `h w 3`.
        border: its outermost pixels, `n 3` in 0..255.
        px: their columns, `n`.
        py: their rows.

    Returns:
        `h w 3` in 0..255; None where no direction explains enough of the border, or colors change as at an edge.
    """

    if not changes(border):
        return None

    def share(angle: float) -> float:
        return explained(border, px * np.cos(angle) + py * np.sin(angle))

    best = (LEAST, 0.0)
    for angle in _angles(0, np.pi, np.radians(4)):
        best = max(best, (share(angle), angle))
    if best[0] <= LEAST:
        return None
    for step in (1.0, 0.25):
        for angle in _angles(best[1] - np.radians(4 * step), best[1] + np.radians(4 * step), np.radians(step)):
            best = max(best, (share(angle), angle))
    angle = best[1]
    line = smooth_line(border, px * np.cos(angle) + py * np.sin(angle))
    if line is None:
        return None
    places, colors = line
    y, x = np.mgrid[0 : picture.shape[0], 0 : picture.shape[1]].astype(np.float32)
    along = x * np.cos(angle) + y * np.sin(angle)
    return colors_at(along, places, colors)


def changes(border: Floats) -> bool:
    """Whether nine tenths of the border (`n 3` in 0..255) differ by more than the noise of a flat color."""
    return bool(np.ptp(np.percentile(border, (5, 95), axis=0), axis=0).max() >= 0.6 * CHANGES)


def colors_at(along: Floats, places: Floats, colors: Floats) -> Floats:
    """Colors `... 3` at coordinates `...`, between those known at `places` (`k`, increasing; `colors` is `k 3`)."""
    return np.stack([np.interp(along, places, colors[:, c]) for c in range(3)], axis=-1).astype(np.float32)


def smooth_line(border: Floats, along: Floats) -> tuple[Floats, Floats] | None:
    """Places `k` and colors `k 3` of a gradient along a coordinate; None if they hardly change, or as at an edge.

    Args:
        border: the outermost pixels, `n 3` in 0..255.
        along: the coordinate of each, `n`, in pixels.
    """
    places, colors = _line(border, along, at_last=True)
    if np.ptp(colors, axis=0).max() < CHANGES:  # noise on a flat color
        return None
    return None if _has_edge(border, along, places, colors) else (places, colors)


def _has_edge(border: Floats, along: Floats, places: Floats, colors: Floats) -> bool:
    """Whether colors change as at an edge: too fast, or over a gap in which the border has those of its ends."""
    change = np.abs(np.diff(colors, axis=0)).max(axis=1, initial=0)
    if (change > STEEP * np.maximum(np.diff(places), 1)).any():
        return True
    for k in np.flatnonzero(change > CHANGES):
        between = border[(along > places[k]) & (along < places[k + 1])]
        ends = np.minimum(*(np.abs(between - colors[end]).max(axis=1, initial=0) for end in (k, k + 1)))
        if len(between) and (ends <= AGREES).mean() > 0.5:
            return True
    return False


def _angles(first: float, last: float, step: float) -> list[float]:
    return [float(angle) for angle in np.arange(first, last, step)]


def explained(border: Floats, along: Floats) -> float:
    """How much of the border colors that depend on `along` alone explain, less a little for what they leave.

    They are made of every second pixel and judged by the others: noise has no gradient.
    """
    places, colors = _line(border[::2], along[::2])
    away = _away(border[1::2], along[1::2], places, colors)
    near = away <= AGREES
    return float(near.mean()) - 0.01 * float(away[near].mean() if near.any() else AGREES)


def misfit(border: Floats, along: Floats, most: float = 60.0) -> float:
    """How far the border is from colors that depend on `along` alone, on average, each pixel at most `most` of 255."""
    return float(np.minimum(_away(border[1::2], along[1::2], *_line(border[::2], along[::2])), most).mean())


def _away(border: Floats, along: Floats, places: Floats, colors: Floats) -> Floats:
    """How far each border pixel is from the line's color, the largest difference of its channels: `n`."""
    return np.abs(border - colors_at(along, places, colors)).max(axis=1).astype(np.float32)


def _line(border: Floats, along: Floats, at_last: bool = False) -> tuple[Floats, Floats]:
    """Colors `k 3` at `k` places along a coordinate, from coarse to fine.

    A sticker may hide most of the border at some places: medians of wide bins tell what it hides, and what is far from
    them has no part in the means of narrow ones.
    """
    least, most = float(along.min()), float(along.max())
    share = (along - least) / max(most - least, 1e-6)
    last = len(border) // PIXELS_A_BIN_AT_LAST if at_last else min(len(border) // PIXELS_A_BIN, MOST_BINS)
    bins = np.minimum((share * COARSE).astype(int), COARSE - 1)
    full = np.unique(bins)
    places = np.array([along[bins == k].mean() for k in full], np.float32)
    colors = np.array([np.median(border[bins == k], axis=0) for k in full], np.float32)
    for many, limit in ((4 * COARSE, 40.0), (last, 20.0), (last, 12.0)):
        known = _away(border, along, places, colors) <= limit
        if not known.any():
            break
        bins = np.minimum((share * many).astype(int), many - 1)[known]
        counts = np.bincount(bins, minlength=many)
        sums = np.stack([np.bincount(bins, weight, minlength=many) for weight in (along[known], *border[known].T)])
        means = (sums[:, counts > 0] / counts[counts > 0]).astype(np.float32)
        places, colors = means[0], np.ascontiguousarray(means[1:].T)
    return places, colors
