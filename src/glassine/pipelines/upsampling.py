"""Downsample images for the network, and upsample alpha to full size with the sharp edges of the image.

Alpha is upsampled by the fast guided filter (He and Sun, "Fast Guided Filter", arXiv 1505.00996, on He et al., "Guided
Image Filtering", TPAMI 2013, equations 14 and 15): in each small neighborhood, alpha is a linear function of color that
is fitted at low resolution, where alpha is known, and evaluated on the full-resolution colors. This is exact for
mixtures of two colors, which need not be known.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
NEIGHBOURS = np.ones((3, 3), np.uint8)


def guided_upsampling(alpha: Plane, guide: Plane, radius: int = 1, smoothness: float = 1e-4) -> Plane:
    """Upsample alpha to the guide's size.

    Args:
        alpha: `h w` in [0, 1], no side longer than the guide's.
        guide: the image at full size, `H W 3` in [0, 1].
        radius: radius of the fitted neighborhoods, in pixels of `alpha`.
        smoothness: color variance below which a neighborhood is treated as flat, so that alpha ignores its noise.

    Returns:
        `H W` in [0, 1]; never outside the range of `alpha` in the surrounding 3x3 pixels, so that texture inside the
        sticker causes no holes. The defaults were the best of those tried on procedural stickers at 512 px: 4 to 8 dB
        above bilinear.
    """
    height, width = guide.shape[:2]
    slope, offset = _fit(alpha, _shrunk(guide, alpha).reshape(*alpha.shape, 3), radius, smoothness)  # h w 3, h w
    slope, offset = (_enlarge(x, width, height) for x in (slope, offset))
    result = np.einsum("hwc,hwc->hw", slope, guide) + offset  # H W
    least = _enlarge(np.asarray(cv2.erode(alpha, NEIGHBOURS), np.float32), width, height)
    most = _enlarge(np.asarray(cv2.dilate(alpha, NEIGHBOURS), np.float32), width, height)
    return np.clip(result, least, most)


def guided_rows(
    alpha: Plane, guide: NDArray[np.uint8], rows_at_once: int, radius: int = 1, smoothness: float = 1e-4
) -> Iterator[tuple[slice, Plane]]:
    """`guided_upsampling` for very large images, processing only some rows at a time.

    Args:
        alpha: `h w` in [0, 1], no side longer than the guide's.
        guide: the image at full size, `H W 3` uint8.
        rows_at_once: number of rows per strip, at least 1.
        radius: see `guided_upsampling`.
        smoothness: see `guided_upsampling`.

    Yields:
        Rows of the image and their alpha, from top to bottom; within 0.002 of the result on the full image.
    """
    height, width = guide.shape[:2]
    # channel by channel at 16 bits: precise enough for the fit, and never the full image as floats
    deep = [_shrunk(guide[..., channel].astype(np.uint16) * np.uint16(257), alpha) for channel in range(3)]
    small = np.stack(deep, axis=-1).astype(np.float32) / np.float32(65_535)
    slope, offset = _fit(alpha, small, radius, smoothness)  # h w 3, h w
    least, most = (np.asarray(f(alpha, NEIGHBOURS), np.float32) for f in (cv2.erode, cv2.dilate))
    planes = np.dstack([slope, offset, least, most])  # h w 6
    for top in range(0, height, rows_at_once):
        rows = slice(top, min(top + rows_at_once, height))
        large = _enlarge_rows(planes, rows, height, width)  # r W 6
        strip = guide[rows].astype(np.float32) / np.float32(255)
        result = np.einsum("hwc,hwc->hw", large[..., :3], strip) + large[..., 3]
        yield rows, np.clip(result, large[..., 4], large[..., 5])


def _shrunk(guide: NDArray, alpha: Plane) -> NDArray:
    """The guide at the size of `alpha`, in its own dtype."""
    return np.asarray(cv2.resize(guide, alpha.shape[::-1], interpolation=cv2.INTER_AREA))


def _enlarge_rows(planes: Plane, rows: slice, height: int, width: int) -> Plane:
    """These rows of `h w c` enlarged to `height width c`, bilinear, as in `_enlarge`."""
    last = len(planes) - 1
    place = ((np.arange(rows.start, rows.stop) + 0.5) * (len(planes) / height) - 0.5).clip(0, last)
    above = np.floor(place).astype(int)
    below = np.minimum(above + 1, last)
    first = int(above[0])
    wide = _enlarge(np.ascontiguousarray(planes[first : int(below[-1]) + 1]), width, int(below[-1]) + 1 - first)
    share = (place - above).astype(np.float32)[:, None, None]
    return wide[above - first] * (1 - share) + wide[below - first] * share


def _fit(alpha: Plane, small: Plane, radius: int, smoothness: float) -> tuple[Plane, Plane]:
    """Least-squares `alpha = slope . color + offset` in each neighborhood, then the mean over overlapping ones."""

    def mean(x: Plane) -> Plane:
        return cv2.blur(x, (2 * radius + 1, 2 * radius + 1), borderType=cv2.BORDER_REFLECT)  # type: ignore[return-value]

    color, opacity = mean(small), mean(alpha)
    covariance = mean(small * alpha[..., None]) - color * opacity[..., None]  # h w 3
    r, g, b = np.moveaxis(small, -1, 0)
    moments = mean(np.stack([r * r, g * g, b * b, r * g, r * b, g * b], axis=-1))  # h w 6
    mr, mg, mb = np.moveaxis(color, -1, 0)
    means = np.stack([mr * mr, mg * mg, mb * mb, mr * mg, mr * mb, mg * mb], axis=-1)
    rr, gg, bb, rg, rb, gb = np.moveaxis((moments - means).astype(np.float64), -1, 0)
    rr, gg, bb = rr + smoothness, gg + smoothness, bb + smoothness
    # inverse of the symmetric 3x3 matrix by its cofactors: many times faster than a solver called for each pixel
    rows = [
        [gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg],
        [rb * gb - rg * bb, rr * bb - rb * rb, rg * rb - rr * gb],
        [rg * gb - rb * gg, rg * rb - rr * gb, rr * gg - rg * rg],
    ]
    determinant = rr * rows[0][0] + rg * rows[0][1] + rb * rows[0][2]
    inverse = np.stack([np.stack(row, axis=-1) for row in rows], axis=-2) / determinant[..., None, None]  # h w 3 3
    slope = np.einsum("hwij,hwj->hwi", inverse, covariance).astype(np.float32)
    offset = opacity - np.einsum("hwc,hwc->hw", slope, color)
    return mean(slope), mean(offset)


def _enlarge(x: Plane, width: int, height: int) -> Plane:
    return cv2.resize(x, (width, height), interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]


WHOLE_PIXELS = 2**22  # larger images are processed in strips to save memory


@dataclass(frozen=True)
class WorkingSize:
    """Sizes in pixels, height first: of the input, of the image inside the network's frame, and of the frame."""

    full: tuple[int, int]
    inner: tuple[int, int]
    frame: tuple[int, int]

    @classmethod
    def of(cls, full: tuple[int, int], resolution: int, multiple: int) -> Self:
        """For an input of size `full`: longer side `resolution`, then padded to multiples of `multiple`."""
        scale = resolution / max(full)
        height, width = (max(1, round(side * scale)) for side in full)
        return cls(full, (height, width), (-(-height // multiple) * multiple, -(-width // multiple) * multiple))

    @classmethod
    def at_most(cls, full: tuple[int, int], longest: int) -> Self:
        """For an input of size `full`: as it is, or smaller where its longer side is above `longest`."""
        scale = min(1.0, longest / max(full))
        height, width = (max(1, round(side * scale)) for side in full)
        return cls(full, (height, width), (height, width))

    def reduced(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """`h w 3` uint8 at the inner size, not larger."""
        if self.inner == self.full:
            return picture
        return np.asarray(cv2.resize(picture, self.inner[::-1], interpolation=cv2.INTER_AREA))

    def enlarged_part(self, colors: NDArray[np.float32], rows: slice) -> NDArray[np.float32]:
        """Some rows of `h' w' 3` at the inner size, enlarged to full size."""
        if self.inner == self.full:
            return colors[rows]
        return _enlarge_rows(colors, rows, *self.full)

    def shrink(self, picture: NDArray[np.uint8], background: tuple[int, int, int]) -> NDArray[np.float32]:
        """`h w 3` uint8 to the network's input, `3 h' w'` in [0, 1], padded with the background color."""
        height, width = self.inner
        if self.inner != self.full:
            smaller = height < self.full[0] or width < self.full[1]
            picture = cv2.resize(  # type: ignore[assignment]
                picture, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
            )
        seen = np.empty((3, *self.frame), np.float32)
        seen[:] = np.asarray(background, np.float32)[:, None, None] / 255
        seen[:, :height, :width] = np.moveaxis(picture, -1, 0) / np.float32(255)
        return seen

    def enlarge(self, alpha: NDArray[np.float32], picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The network's alpha, `h' w'`, at the size of the input `picture` (`h w 3` uint8), `h w` in [0, 1]."""
        alpha = np.ascontiguousarray(alpha[: self.inner[0], : self.inner[1]])
        if self.inner == self.full:
            return alpha
        if self.inner[0] < self.full[0] or self.inner[1] < self.full[1]:
            return guided_upsampling(alpha, np.asarray(picture, np.float32) / np.float32(255))
        return cv2.resize(alpha, self.full[::-1], interpolation=cv2.INTER_AREA)  # type: ignore[return-value]

    @property
    def rows_at_once(self) -> int:
        """Number of rows processed at a time: all, except for very large images."""
        return (
            self.full[0] if self.full[0] * self.full[1] <= WHOLE_PIXELS else max(1, WHOLE_PIXELS // 4 // self.full[1])
        )

    def enlarged_rows(
        self, alpha: NDArray[np.float32], picture: NDArray[np.uint8]
    ) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """Like `enlarge`, in strips of `rows_at_once` rows: yields the rows and their alpha."""
        step = self.rows_at_once
        small = np.ascontiguousarray(alpha[: self.inner[0], : self.inner[1]])
        if step < self.full[0] and self.inner != self.full and max(self.inner) < max(self.full):
            yield from guided_rows(small, picture, step)
            return
        whole = self.enlarge(alpha, picture)
        for top in range(0, self.full[0], step):
            yield slice(top, min(top + step, self.full[0])), whole[top : top + step]
