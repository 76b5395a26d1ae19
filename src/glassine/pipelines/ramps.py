"""Linear gradients of any number of stops, in any direction: colors that depend on one coordinate across the picture.

A smooth surface (`background_models`) turns too slowly where two stops meet. Each line across the direction of a ramp
meets the border twice, so that the border alone tells every color of it.
"""

import numpy as np

from glassine.pipelines.insets import Floats, Picture

BINS, EACH, FINE = (
    96,
    8,
    3,
)  # of the ramp, at most; border pixels in each, on average, while it is looked for; at the end
AGREES = 10  # of 255: a border pixel that is this close to the ramp belongs to it
STEEP = 12.0  # of 255 a pixel: what changes faster is an edge
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
    best = (LEAST, 0.0)
    for angle in _angles(0, np.pi, np.radians(4)):
        best = max(best, (_share(border, px, py, angle), angle))
    if best[0] <= LEAST:
        return None
    for step in (1.0, 0.25):
        for angle in _angles(best[1] - np.radians(4 * step), best[1] + np.radians(4 * step), np.radians(step)):
            best = max(best, (_share(border, px, py, angle), angle))
    angle = best[1]
    places, colors = _line(border, px, py, angle, FINE)
    if (np.abs(np.diff(colors, axis=0)).max(axis=1, initial=0) > STEEP * np.diff(places)).any():
        return None
    y, x = np.mgrid[0 : picture.shape[0], 0 : picture.shape[1]].astype(np.float32)
    along = x * np.cos(angle) + y * np.sin(angle)
    return np.stack([np.interp(along, places, colors[:, c]) for c in range(3)], axis=-1).astype(np.float32)


def _angles(first: float, last: float, step: float) -> list[float]:
    return [float(angle) for angle in np.arange(first, last, step)]


def _share(border: Floats, px: Floats, py: Floats, angle: float) -> float:
    """How much of the border a ramp in this direction explains, less a little for what it leaves.

    It is made of every second pixel and judged by the others: noise has no ramp.
    """
    places, colors = _line(border[::2], px[::2], py[::2], angle)
    away = _away(border[1::2], px[1::2] * np.cos(angle) + py[1::2] * np.sin(angle), places, colors)
    near = away <= AGREES
    return float(near.mean()) - 0.01 * float(away[near].mean() if near.any() else AGREES)


def _away(border: Floats, along: Floats, places: Floats, colors: Floats) -> Floats:
    """How far each border pixel is from the ramp, the largest difference of its channels: `n`."""
    expected = np.stack([np.interp(along, places, colors[:, c]) for c in range(3)], axis=1)
    return np.abs(border - expected).max(axis=1).astype(np.float32)


def _line(border: Floats, px: Floats, py: Floats, angle: float, each: int = EACH) -> tuple[Floats, Floats]:
    """The ramp's colors `k 3` at `k` places along the direction: means of bins, without what disagrees with them."""
    along = px * np.cos(angle) + py * np.sin(angle)
    least, most = float(along.min()), float(along.max())
    many = int(np.clip(len(border) // each, 2, BINS))
    bins = np.minimum(((along - least) / max(most - least, 1e-6) * many).astype(int), many - 1)
    known = np.ones(len(border), bool)
    places, colors = np.array([least], np.float32), border.mean(axis=0, keepdims=True).astype(np.float32)
    for limit in (60.0, 30.0, 16.0):
        counts = np.bincount(bins[known], minlength=many)
        full = counts > 0
        sums = [np.bincount(bins[known], weight, minlength=many)[full] for weight in (along[known], *border[known].T)]
        places = (sums[0] / counts[full]).astype(np.float32)
        colors = (np.stack(sums[1:], axis=1) / counts[full, None]).astype(np.float32)
        known = _away(border, along, places, colors) <= limit
        if not known.any():
            break
    return places, colors
