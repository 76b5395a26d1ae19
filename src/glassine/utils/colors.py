"""Colors by name, their luma, and the gray squares that transparency is shown on."""

import numpy as np
from PIL import ImageColor

LIGHT, DARK = 255, 212
LUMA = (0.299, 0.587, 0.114)  # weights of red, green and blue (ITU-R BT.601)


def checkerboard(height: int, width: int, square: int = 8) -> np.ndarray:
    """`h w 1` uint8 with squares of `square` pixels, starting with a light one."""
    odd = np.add.outer(np.arange(height) // square, np.arange(width) // square) % 2
    return np.where(odd, DARK, LIGHT).astype(np.uint8)[..., None]


def named_color(name: str) -> tuple[int, int, int] | None:
    """Red, green, blue (0 to 255) of a CSS name, `#rrggbb` or `#rgb`, the hash of which may be left out; None if it is
    none of these."""
    for spelling in (name, f"#{name}"):
        try:
            red, green, blue = ImageColor.getrgb(spelling)[:3]
        except ValueError:
            continue
        return red, green, blue
    return None
