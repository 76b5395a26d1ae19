"""Numbers about a sticker that filters, reports and default descriptions go by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from glassine.data.alpha import composite_frames

VISIBLE = 16
"""Alpha from which a pixel counts as visible."""
OPAQUE = 248
# the names that people use for stickers' colors, English and Chinese, with sRGB values
COLORS: dict[str, tuple[str, tuple[int, int, int]]] = {
    "red": ("红色", (220, 40, 45)),
    "orange": ("橙色", (245, 140, 35)),
    "yellow": ("黄色", (250, 205, 60)),
    "green": ("绿色", (60, 160, 75)),
    "light blue": ("浅蓝色", (120, 200, 240)),
    "blue": ("蓝色", (40, 95, 200)),
    "purple": ("紫色", (135, 75, 185)),
    "pink": ("粉色", (245, 140, 180)),
    "brown": ("棕色", (130, 85, 50)),
    "beige": ("米色", (235, 210, 175)),
    "black": ("黑色", (25, 25, 28)),
    "gray": ("灰色", (130, 132, 138)),
    "white": ("白色", (245, 245, 245)),
}
_LEAST_COLOR = 0.15  # of the visible pixels
_STEP_SIDE = 64


def measure(frames: np.ndarray, durations: Sequence[int], width: int, height: int) -> dict[str, Any]:
    """What filters and reports look at.

    Args:
        frames: `f h w 4` uint8 straight RGBA, scaled down.
        durations: ms of each frame.
        width: of the file, in pixels.
        height: of the file, in pixels.

    Returns:
        `visible`: largest share of visible pixels in a frame; `transparent`: mean share of invisible pixels;
        `semi`: mean share of half transparent pixels; `entropy`: see `entropy`; `aspect`: longer by shorter side;
        `length`: ms of one play; `change`: mean absolute change between frames in gray levels; `colors`: names.
    """
    alpha = frames[..., 3]
    seen = alpha >= VISIBLE
    return {
        "visible": _rounded(seen.mean(axis=(1, 2)).max()),
        "transparent": _rounded((~seen).mean()),
        "semi": _rounded((seen & (alpha < OPAQUE)).mean()),
        "entropy": _rounded(max(entropy(frame) for frame in frames[_spread(len(frames), 4)])),
        "aspect": _rounded(max(width, height) / min(width, height)),
        "length": int(sum(durations)),
        "change": _rounded(change(frames)),
        "colors": main_colors(frames[_spread(len(frames), 4)]),
    }


def entropy(frame: np.ndarray) -> float:
    """Shannon entropy, in bits, of the gray levels of a frame `h w 4` on white; what is invisible is one more level.

    0 for one flat color or nothing at all; a drawing of two flat colors has up to 1, photos 6 to 8.
    """
    gray = cv2.cvtColor(composite_frames(frame, (255, 255, 255)), cv2.COLOR_RGB2GRAY)
    levels = np.where(frame[..., 3] >= VISIBLE, gray.astype(np.int64), 256)
    shares = np.bincount(levels.ravel(), minlength=257) / levels.size
    shares = shares[shares > 0]
    return float(-(shares * np.log2(shares)).sum()) + 0.0


def change(frames: np.ndarray) -> float:
    """Mean absolute difference of successive frames on gray, the last to the first included, in gray levels."""
    if len(frames) == 1:
        return 0.0
    opaque = composite_frames(frames, (128, 128, 128))
    small = np.stack([cv2.resize(one, (_STEP_SIDE, _STEP_SIDE), interpolation=cv2.INTER_AREA) for one in opaque])
    steps = np.abs(small.astype(np.int16) - np.roll(small, -1, axis=0).astype(np.int16))
    return float(steps.mean())


def main_colors(frames: np.ndarray) -> list[str]:
    """Names of at most three colors that cover at least a seventh of what is visible, the largest first."""
    pixels = frames[frames[..., 3] >= 128][:, :3]
    if not len(pixels):
        return []
    pixels = pixels[:: max(1, len(pixels) // 4096)]
    names = list(COLORS)
    palette = np.array([COLORS[name][1] for name in names], np.uint8)
    lab, known = (cv2.cvtColor(one[None], cv2.COLOR_RGB2LAB)[0].astype(np.float32) for one in (pixels, palette))
    nearest = ((lab[:, None] - known) ** 2).sum(axis=-1).argmin(axis=1)
    counts = Counter(nearest.tolist()).most_common(3)
    return [names[place] for place, count in counts if count >= _LEAST_COLOR * len(pixels)]


def _spread(count: int, most: int) -> list[int]:
    return sorted({count * part // most for part in range(most)})


def _rounded(value: float) -> float:
    return round(float(value), 5)
