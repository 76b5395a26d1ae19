"""Bring a frame down to a palette, for GIF."""

from __future__ import annotations

import numpy as np
from PIL import Image


def quantise(colours: np.ndarray, drawn: np.ndarray, most: int, dither: bool) -> tuple[np.ndarray, np.ndarray]:
    """Choose a palette for the drawn pixels alone and number the pixels.

    Up to `most` different colours stay exact; more are reduced by median cut with one k-means step.

    Args:
        colours: `h w 3` uint8.
        drawn: `h w` bool; only these pixels count.
        most: size of the palette, up to 256.
        dither: spread the error (Floyd-Steinberg); smoother gradients, but grain that flickers between frames.

    Returns:
        Numbers `h w` uint8 (0 where not drawn) and the palette `n 3` uint8, n from 1 to `most`.
    """
    numbers = np.zeros(drawn.shape, np.uint8)
    pixels = colours[drawn]  # n 3
    if not len(pixels):
        return numbers, np.zeros((1, 3), np.uint8)
    packed = pixels.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    unique, inverse = np.unique(packed, return_inverse=True)
    if len(unique) <= most:
        numbers[drawn] = inverse
        palette = np.stack([unique >> 16, unique >> 8 & 255, unique & 255], axis=-1)
        return numbers, palette.astype(np.uint8)
    line = Image.fromarray(np.ascontiguousarray(pixels[None]), "RGB")
    reduced = line.quantize(most, method=Image.Quantize.MEDIANCUT, kmeans=1, dither=Image.Dither.NONE)
    palette = np.array(reduced.getpalette("RGB"), np.uint8).reshape(-1, 3)[:most]
    if dither:
        filled = np.where(drawn[..., None], colours, pixels.mean(axis=0).astype(np.uint8))
        whole = Image.fromarray(filled, "RGB").quantize(palette=reduced, dither=Image.Dither.FLOYDSTEINBERG)
        numbers[drawn] = np.asarray(whole)[drawn]
    else:
        numbers[drawn] = np.asarray(reduced)[0]
    return numbers, palette
