"""Die-cut borders and drop shadows under stickers.

Pure functions on premultiplied frames. Both layers are below the sticker, so its opaque pixels do not change; alpha is
`a + (1 - a) * layer`, without thresholding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from glassine.utils.errors import UserError

Floats = NDArray[np.float32]
Frames = NDArray[np.uint8]
RGB = tuple[int, int, int]

THRESHOLDS = (0.125, 0.375, 0.625, 0.875)
"""Alpha levels whose silhouettes are dilated: the midpoint rule for the mean over all levels."""


@dataclass(frozen=True)
class Surround:
    """Border and shadow under a sticker.

    Args:
        outline: border width in pixels, 0 for none.
        outline_color: red, green, blue, 0 to 255.
        shadow: opacity of the shadow, 0 (none) to 1.
        shadow_offset: offset to the right and down, in pixels.
        shadow_blur: standard deviation of its blur in pixels.
        shadow_color: red, green, blue, 0 to 255.

    Raises:
        UserError: a number out of range.
    """

    outline: float = 0.0
    outline_color: RGB = (255, 255, 255)
    shadow: float = 0.0
    shadow_offset: tuple[float, float] = (0.0, 6.0)
    shadow_blur: float = 6.0
    shadow_color: RGB = (0, 0, 0)

    def __post_init__(self) -> None:
        if not 0 <= self.outline <= 256:
            raise UserError(f"outline must be 0 to 256 pixels, got {self.outline:g}")
        if not 0 <= self.shadow <= 1:
            raise UserError(f"shadow must be an opacity in [0, 1], got {self.shadow:g}")
        if not 0 <= self.shadow_blur <= 256:
            raise UserError(f"shadow blur must be 0 to 256 pixels, got {self.shadow_blur:g}")
        if not all(abs(step) <= 512 for step in self.shadow_offset):  # also rejects NaN
            raise UserError(f"shadow offset must be at most 512 pixels either way, got {self.shadow_offset}")

    @property
    def is_empty(self) -> bool:
        """Whether nothing is drawn."""
        return not self.outline and not self.shadow

    @property
    def room(self) -> int:
        """Padding needed around the sticker in pixels, equal on all four sides so that nothing moves."""
        border = math.ceil(self.outline) + 1 if self.outline else 0  # including its soft end
        if not self.shadow:
            return border
        return border + math.ceil(max(map(abs, self.shadow_offset)) + 3 * self.shadow_blur)

    def scaled(self, scale: float) -> Surround:
        """The same for a sticker scaled by `scale`."""
        across, down = self.shadow_offset
        return Surround(
            self.outline * scale,
            self.outline_color,
            self.shadow,
            (across * scale, down * scale),
            self.shadow_blur * scale,
            self.shadow_color,
        )


NO_SURROUND = Surround()


def add_surround(frames: Frames, surround: Surround) -> Frames:
    """Draw border and shadow under straight frames `f h w 4` uint8; they need a margin of `surround.room` pixels."""
    if surround.is_empty:
        return frames
    result = np.empty_like(frames)
    for number, frame in enumerate(frames):
        pixels = premultiplied(frame)
        if surround.outline:
            pixels = under(pixels, outline_layer(pixels[..., 3], surround.outline), surround.outline_color)
        if surround.shadow:
            layer = shadow_layer(pixels[..., 3], surround.shadow_offset, surround.shadow_blur)
            pixels = under(pixels, layer * np.float32(surround.shadow), surround.shadow_color)
        result[number] = straight(pixels)
    return result


def surrounded(frame: Frames, surround: Surround) -> Frames:
    """One straight frame `h w 4` uint8 with its border and shadow, on a canvas padded by `room` on each side."""
    if surround.is_empty:
        return frame
    room = surround.room
    return add_surround(np.pad(frame, ((room, room), (room, room), (0, 0)))[None], surround)[0]


def outline_layer(alpha: Floats, width: float) -> Floats:
    """Coverage of each pixel by the border.

    A silhouette dilated by `width` covers a pixel by `clip(width + 1 - d, 0, 1)`, where d is the exact Euclidean
    distance between pixel centers to the nearest pixel of the silhouette (both pixels extend half a pixel beyond their
    centers). The layer is the mean over the silhouettes at `THRESHOLDS`: where an edge runs through a pixel, the border
    ends `width` beyond the edge, not beyond the pixel.

    Args:
        alpha: `h w` in [0, 1].
        width: pixels, above 0.

    Returns:
        `h w` in [0, 1]. It also covers the sticker itself, so the border's color shows through there.
    """
    layer = np.zeros_like(alpha, dtype=np.float32)
    for threshold in THRESHOLDS:
        outside = (alpha < threshold).astype(np.uint8)
        if outside.all():
            continue
        distance = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        layer += np.clip(width + 1 - distance, 0, 1)
    return cast(Floats, layer / np.float32(len(THRESHOLDS)))


def shadow_layer(alpha: Floats, offset: tuple[float, float], blur: float) -> Floats:
    """A soft copy of the silhouette.

    Args:
        alpha: `h w` in [0, 1].
        offset: offset to the right and down, in pixels; fractions are interpolated.
        blur: standard deviation in pixels; 0 keeps it sharp.

    Returns:
        `h w` in [0, 1], zero beyond the frame.
    """
    move = np.array([[1, 0, offset[0]], [0, 1, offset[1]]], np.float32)
    layer = cv2.warpAffine(alpha, move, alpha.shape[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    if blur > 0:
        side = 2 * math.ceil(3 * blur) + 1
        layer = cv2.GaussianBlur(layer, (side, side), blur, borderType=cv2.BORDER_CONSTANT)
    return cast(Floats, np.clip(layer, 0, 1))


def under(pixels: Floats, layer: Floats, color: RGB) -> Floats:
    """Composite `pixels` (premultiplied, `h w 4` in [0, 1]) over a flat color with coverage `layer` (`h w`)."""
    seen = (1 - pixels[..., 3]) * layer  # h w
    paint = np.array([*color, 255], np.float32) / 255
    return cast(Floats, pixels + seen[..., None] * paint)


def premultiplied(frame: Frames) -> Floats:
    """Straight uint8 `h w 4` to premultiplied floats in [0, 1]."""
    alpha = cv2.extractChannel(frame, 3)
    weights = cv2.merge((alpha, alpha, alpha, np.full_like(alpha, 255)))
    return cast(Floats, cv2.multiply(frame, weights, scale=1 / (255 * 255), dtype=cv2.CV_32F))


def straight(pixels: Floats) -> Frames:
    """Premultiplied floats `h w 4` in [0, 1] to straight uint8; transparent pixels are black."""
    alpha = cv2.extractChannel(pixels, 3)
    weights = cv2.merge((alpha, alpha, alpha, np.ones_like(alpha)))
    levels = cast(Frames, cv2.divide(pixels, weights, scale=255, dtype=cv2.CV_8U))  # rounds and saturates
    levels[cv2.extractChannel(levels, 3) == 0] = 0
    return levels
