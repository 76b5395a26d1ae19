"""The gray checkerboard that transparency is shown on."""

import numpy as np

LIGHT, DARK = 255, 212


def checkerboard(height: int, width: int, square: int = 8) -> np.ndarray:
    """`h w 1` uint8 with squares of `square` pixels, starting with a light one."""
    odd = np.add.outer(np.arange(height) // square, np.arange(width) // square) % 2
    return np.where(odd, DARK, LIGHT).astype(np.uint8)[..., None]
