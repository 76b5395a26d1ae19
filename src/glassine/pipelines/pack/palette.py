"""One palette with alpha for a whole animation, to make APNG, PNG and GIF small."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Frames = NDArray[np.uint8]
_REFINEMENTS = 3
_MOST_SAMPLES = 400_000
_ROWS_AT_ONCE = 16_384
_CELLS = 1 << 23  # 6 bits for each of red, green and blue, 5 for alpha


def exact_palette(frames: Frames, most: int = 256) -> tuple[NDArray[np.uint8], Frames] | None:
    """Indices `f h w` uint8 and palette `n 4` of frames with at most `most` different colors, otherwise None."""
    packed = np.ascontiguousarray(frames).view(np.uint32)[..., 0]  # f h w
    seen = np.zeros(0, np.uint32)
    for frame in packed:
        seen = np.union1d(seen, frame)
        if len(seen) > most:
            return None
    numbers = np.searchsorted(seen, packed).astype(np.uint8)
    return numbers, seen.view(np.uint8).reshape(-1, 4)


def shared_palette(frames: Frames, most: int) -> tuple[NDArray[np.uint8], Frames]:
    """Choose up to `most` colors for all frames and index the pixels.

    Up to `most` different colors are exact. More are reduced by Pillow's octree and k-means on premultiplied colors, in
    which differences count as much as they are visible. Transparent pixels keep a separate color, so edges get no haze.

    Args:
        frames: `f h w 4` uint8, straight; transparent pixels must all be black.
        most: 2 to 256.

    Returns:
        Indices `f h w` uint8 and the palette `n 4` uint8, straight RGBA.
    """
    exact = exact_palette(frames, most)
    if exact is not None:
        return exact
    pixels = frames.reshape(-1, 4)
    step = max(1, len(pixels) // _MOST_SAMPLES) | 1  # odd, to avoid sampling the same columns
    sample = pixels[::step]
    sample = sample[sample[:, 3] > 0]
    cells, counts, means = _cell_means(sample if len(sample) else pixels[pixels[:, 3] > 0])
    clear = bool((frames[..., 3] == 0).any())
    palette = _palette(means, counts, most - clear)
    codes = _codes(pixels)
    met = np.bincount(codes, minlength=_CELLS) > 0
    middles = _middles(np.flatnonzero(met))
    known = np.searchsorted(np.flatnonzero(met), cells)
    middles[known] = means  # cells whose pixels are in the sample
    lookup = np.zeros(_CELLS, np.uint8)
    lookup[met] = _nearest(_as_seen(middles), _as_seen(palette)) + clear
    numbers = lookup[codes]
    if clear:
        numbers[pixels[:, 3] == 0] = 0
        palette = np.concatenate([np.zeros((1, 4), np.uint8), palette])
    return numbers.reshape(frames.shape[:3]), palette


def apply_palette(numbers: NDArray[np.uint8], palette: Frames) -> Frames:
    """Reconstruct the frames: `f h w` indices to `f h w 4`."""
    return palette[numbers]


def _codes(pixels: Frames) -> NDArray[np.intp]:
    """Cell of each of `n 4` uint8: its upper bits."""
    red, green, blue, alpha = (pixels[:, channel].astype(np.int32) for channel in range(4))
    return ((red >> 2) | (green >> 2) << 6 | (blue >> 2) << 12 | (alpha >> 3) << 18).astype(np.intp)


def _middles(codes: NDArray[np.intp]) -> NDArray[np.float32]:
    colors = [(codes >> shift & 63) * 4 + 2 for shift in (0, 6, 12)]
    return np.stack([*colors, (codes >> 18) * 8 + 4], axis=-1).astype(np.float32)


def _cell_means(sample: Frames) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float32]]:
    """Cells of the pixels `n 4`, their counts, and their means `u 4`."""
    codes = _codes(sample)
    counts = np.bincount(codes, minlength=_CELLS)
    cells = np.flatnonzero(counts)
    sums = np.stack([np.bincount(codes, sample[:, c], _CELLS)[cells] for c in range(4)], axis=-1)
    return cells, counts[cells].astype(np.float64), (sums / counts[cells][:, None]).astype(np.float32)


def _palette(colors: NDArray[np.float32], counts: NDArray[np.float64], most: int) -> Frames:
    """A palette `n 4` uint8 for visible `colors` (`u 4`) with their `counts`."""
    line = Image.fromarray(np.ascontiguousarray(colors[None].round().astype(np.uint8)), "RGBA")
    reduced = line.quantize(most, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    start = np.array(reduced.getpalette("RGBA"), np.uint8).reshape(-1, 4)[:most]
    points = _as_seen(colors)
    # square root: large flat areas count more, but do not take all colors
    weights = np.sqrt(counts)
    centers = _as_seen(np.unique(start, axis=0).astype(np.float32))
    for _ in range(_REFINEMENTS):
        owner = _nearest(points, centers)
        total = np.bincount(owner, weights, len(centers))
        sums = np.stack([np.bincount(owner, weights * points[:, c], len(centers)) for c in range(4)], axis=-1)
        centers = np.where(total[:, None] > 0, sums / np.maximum(total, 1e-9)[:, None], centers).astype(np.float32)
        empty = np.flatnonzero(total == 0)
        if len(empty) or len(centers) < most:  # unused entries go to the worst-represented colors
            error = ((points - centers[owner]) ** 2).sum(axis=1) * weights
            worst = np.argsort(error)[::-1][: len(empty) + most - len(centers)]
            centers = np.concatenate([np.delete(centers, empty, axis=0), points[worst]])
    alpha = centers[:, 3:].clip(1, 255)
    straight = np.concatenate([centers[:, :3] * 255 / alpha, alpha], axis=-1)
    return np.unique(straight.round().clip(0, 255).astype(np.uint8), axis=0)


def _as_seen(colors: NDArray) -> NDArray[np.float32]:
    """Premultiplied `n 4` float32, 0 to 255."""
    seen = colors.astype(np.float32)
    seen[:, :3] *= seen[:, 3:] / 255
    return seen


def _nearest(points: NDArray[np.float32], centers: NDArray[np.float32]) -> NDArray[np.intp]:
    """Index of the nearest center of each point, computed in slices to save memory."""
    length = (centers**2).sum(axis=1)
    parts = np.array_split(points, len(points) // _ROWS_AT_ONCE + 1)
    return np.concatenate([(length - 2 * part @ centers.T).argmin(axis=1) for part in parts])
