"""Drawing with exact alpha: anti-aliased coverage masks, composited in premultiplied color."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from glassine.procedural.outlines import Outline

Plane = NDArray[np.float32]
Color = tuple[float, float, float] | Plane  # three numbers in 0..1, or planes 3 h w

# 2x2 samples with OpenCV's anti-aliasing give smooth edges at a fraction of the cost of 4x4 samples. The anti-aliasing
# extends outwards, so shapes are about a third of a pixel larger than specified; alpha is that of the larger shape.
_OVERSAMPLE = 2
_SHIFT = 4  # fractional bits of OpenCV's fixed-point coordinates: steps of 1/16 of an oversampled pixel


@dataclass(frozen=True)
class Mask:
    """Coverage in a rectangle of the image.

    Attributes:
        x: left edge of the rectangle in pixels.
        y: upper edge of the rectangle in pixels.
        alpha: coverage ``h w`` in 0..1.
    """

    x: int
    y: int
    alpha: Plane

    def within(self, other: "Mask") -> "Mask":
        """This mask multiplied by ``other``, in the rectangle of this mask."""
        h, w = self.alpha.shape
        cut = np.zeros((h, w), np.float32)
        oh, ow = other.alpha.shape
        x0, x1 = max(self.x, other.x), min(self.x + w, other.x + ow)
        y0, y1 = max(self.y, other.y), min(self.y + h, other.y + oh)
        if x0 < x1 and y0 < y1:
            here = (slice(y0 - self.y, y1 - self.y), slice(x0 - self.x, x1 - self.x))
            cut[here] = self.alpha[here] * other.alpha[y0 - other.y : y1 - other.y, x0 - other.x : x1 - other.x]
        return Mask(self.x, self.y, cut)


def coverage(
    outlines: Sequence[Outline], size: int, width: float = 0.0, closed: bool = True, feather: float = 0.0
) -> Mask | None:
    """Coverage of each pixel by the outlines.

    Args:
        outlines: pixel coordinates (pixel ``i`` spans ``i`` to ``i + 1``). Filled by the even-odd rule, so that an
            outline inside another one is a hole.
        size: width and height of the image; anything outside is cropped.
        width: 0 fills the outlines; otherwise the width in pixels of lines along them.
        closed: whether lines return to their first point.
        feather: standard deviation in pixels of a blur of the edge.

    Returns:
        The mask, or None if everything is outside the image.
    """
    everything = np.concatenate(outlines) if len(outlines) > 1 else outlines[0]
    margin = width / 2 + 3 * feather + 1.5
    x0, y0 = (max(0, int(v)) for v in np.floor(everything.min(0) - margin))
    x1, y1 = (min(size, int(v)) for v in np.ceil(everything.max(0) + margin))
    if x0 >= x1 or y0 >= y1:
        return None
    origin = np.asarray([x0, y0], np.float32)
    fixed = [
        np.round(((p - origin) * _OVERSAMPLE - 0.5) * (1 << _SHIFT)).clip(-(2**24), 2**24).astype(np.int32)
        for p in outlines
    ]
    raster = np.zeros(((y1 - y0) * _OVERSAMPLE, (x1 - x0) * _OVERSAMPLE), np.uint8)
    if width > 0:
        thick = max(1, round(width * _OVERSAMPLE))
        cv2.polylines(raster, fixed, closed, 255, thick, cv2.LINE_AA, _SHIFT)
    else:
        cv2.fillPoly(raster, fixed, 255, cv2.LINE_AA, _SHIFT)
    alpha = cv2.resize(raster, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA).astype(np.float32) * np.float32(
        1 / 255
    )
    if 0 < width < 1 / _OVERSAMPLE:
        alpha *= width * _OVERSAMPLE  # lines cannot be thinner than one sample, so reduce their coverage
    if feather > 0.2:
        alpha = blur(alpha, feather)
    return Mask(x0, y0, alpha)


def blur(plane: Plane, sigma: float) -> Plane:
    """Gaussian blur of one plane; large sigmas are computed at a lower resolution, with no visible difference."""
    h, w = plane.shape
    step = 1
    while sigma / step > 3 and min(h, w) // (2 * step) >= 8:
        step *= 2
    if step == 1:
        return np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT), np.float32)
    small = cv2.resize(plane, (-(-w // step), -(-h // step)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / step, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(cv2.resize(small, (w, h), interpolation=cv2.INTER_LINEAR), np.float32)


class Canvas:
    """An image to draw on: planes ``4 h w`` float32, premultiplied RGBA, initially transparent.

    Args:
        size: width and height in pixels.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.planes: Plane = np.zeros((4, size, size), np.float32)

    def lay(self, mask: Mask, color: Color) -> None:
        """Composite a color over the image (the "over" operator).

        Args:
            mask: coverage times opacity.
            color: three numbers in 0..1, or planes ``3 h w`` of the mask's size.
        """
        h, w = mask.alpha.shape
        part = self.planes[:, mask.y : mask.y + h, mask.x : mask.x + w]
        part *= 1 - mask.alpha
        for channel in range(3):
            part[channel] += mask.alpha * color[channel]
        part[3] += mask.alpha

    def lay_canvas(self, other: "Canvas", opacity: float = 1.0) -> None:
        """Composite another canvas over this one, multiplied by ``opacity``."""
        if opacity <= 0:
            return
        self.planes *= 1 - opacity * other.planes[3]
        self.planes += other.planes if opacity >= 1 else opacity * other.planes

    def lay_under(self, mask: Mask, color: tuple[float, float, float]) -> None:
        """Composite a color under the image: shadow, glow, or the border of a die-cut sticker."""
        h, w = mask.alpha.shape
        part = self.planes[:, mask.y : mask.y + h, mask.x : mask.x + w]
        free = mask.alpha * (1 - part[3])
        for channel in range(3):
            part[channel] += free * color[channel]
        part[3] += free

    def rgba(self) -> NDArray[np.uint8]:
        """The image as straight 8-bit RGBA, ``h w 4``; invisible pixels are black."""
        alpha = self.planes[3]
        scale = np.zeros_like(alpha)
        np.divide(255.0, alpha, out=scale, where=alpha > 1 / 510)  # pixels whose alpha rounds to 0 stay black
        channels = [cv2.multiply(self.planes[c], scale, dtype=cv2.CV_8U) for c in range(3)]
        channels.append(cv2.convertScaleAbs(alpha, alpha=255.0))
        return np.asarray(cv2.merge(channels), np.uint8)
