"""Pillow's pictures as arrays."""

from __future__ import annotations

import numpy as np
from PIL import Image

_WHOLE_PIXELS = 2**20


def rgba_pixels(image: Image.Image) -> np.ndarray:
    """A picture as `h w 4` uint8, straight RGBA, writable; of a large one no second copy is made on the way."""
    width, height = image.size
    if width * height <= _WHOLE_PIXELS:
        return np.array(image.convert("RGBA"))
    pixels = np.empty((height, width, 4), np.uint8)
    rows = max(1, _WHOLE_PIXELS // width)
    for top in range(0, height, rows):
        strip = image.crop((0, top, width, min(top + rows, height)))
        strip.info = image.info  # where a palette's or a color's transparency is told
        pixels[top : top + rows] = np.asarray(strip.convert("RGBA"))
    return pixels
