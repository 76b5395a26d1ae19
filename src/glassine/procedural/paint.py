"""Paints: each maps a mask and its position on the object to colors and alpha."""

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from glassine.procedural.canvas import Color, Mask, Plane, blur

RGB = tuple[float, float, float]


@dataclass(frozen=True)
class Spot:
    """The pixels to paint and their position on the object.

    Attributes:
        mask: coverage of the pixels.
        to_pixels: ``2 3`` matrix from object units to pixels.
    """

    mask: Mask
    to_pixels: NDArray[np.float64]

    @property
    def scale(self) -> float:
        """Pixels per object unit."""
        return float(np.sqrt(abs(np.linalg.det(self.to_pixels[:, :2])))) + 1e-6

    @cached_property
    def to_object(self) -> NDArray[np.float64]:
        """``2 3`` matrix from pixels of the mask to object units."""
        square = np.vstack([self.to_pixels, [0, 0, 1]])
        square[:2, 2] -= (self.mask.x + 0.5, self.mask.y + 0.5)
        if abs(np.linalg.det(square)) < 1e-6:  # edge-on in the middle of a flip: not invertible
            square[:2, :2] += np.eye(2) * 0.5
        return np.linalg.inv(square)[:2]

    def along(self, row: NDArray[np.float64]) -> Plane:
        """The affine function ``row . (x, y, 1)`` at the mask's pixels, ``h w``."""
        h, w = self.mask.alpha.shape
        x = np.arange(w, dtype=np.float32) * np.float32(row[0]) + np.float32(row[2])
        y = np.arange(h, dtype=np.float32) * np.float32(row[1])
        return x[None, :] + y[:, None]

    def xy(self) -> tuple[Plane, Plane]:
        """Object coordinates of the mask's pixels, each ``h w``."""
        return self.along(self.to_object[0]), self.along(self.to_object[1])

    def depth(self, softness: float) -> Plane:
        """The blurred mask: near 1 well inside, 0.5 at the edge; ``softness`` is sigma in object units."""
        return blur(self.mask.alpha, max(1.0, softness * self.scale))


class Paint(Protocol):
    """Fills a mask: returns color and alpha; alpha is that of the mask unless the paint is semi-transparent."""

    def __call__(self, spot: Spot) -> tuple[Color, Plane]:
        """Colors (three numbers or planes ``3 h w``) and alpha ``h w``, both in 0..1."""
        ...


def blend(first: RGB, second: RGB, t: Plane) -> Plane:
    """Interpolate between two colors: ``3 h w`` for ``t`` of ``h w`` in 0..1."""
    out = np.empty((3, *t.shape), np.float32)
    for channel, (a, b) in enumerate(zip(first, second, strict=True)):
        np.multiply(t, np.float32(b - a), out=out[channel])
        out[channel] += np.float32(a)
    return out


@dataclass(frozen=True)
class Flat:
    """One color."""

    color: RGB

    def __call__(self, spot: Spot) -> tuple[Color, Plane]:
        """The color, alpha unchanged."""
        return self.color, spot.mask.alpha


@dataclass(frozen=True)
class Linear:
    """A gradient across the object, from -1 to 1 along a direction given in turns."""

    first: RGB
    second: RGB
    turn: float = 0.25

    def __call__(self, spot: Spot) -> tuple[Color, Plane]:
        """The gradient, alpha unchanged."""
        across = np.cos(self.turn * 2 * np.pi) * spot.to_object[0] + np.sin(self.turn * 2 * np.pi) * spot.to_object[1]
        t = spot.along(across * 0.5)
        return blend(self.first, self.second, np.clip(t + np.float32(0.5), 0, 1)), spot.mask.alpha


@dataclass(frozen=True)
class Radial:
    """A radial gradient, as in the shading of glossy emoji."""

    inner: RGB
    outer: RGB
    center: tuple[float, float] = (-0.25, -0.35)
    radius: float = 1.5

    def __call__(self, spot: Spot) -> tuple[Color, Plane]:
        """The gradient, alpha unchanged."""
        x, y = spot.xy()
        t = ((x - self.center[0]) ** 2 + (y - self.center[1]) ** 2) * np.float32(1 / self.radius**2)
        return blend(self.inner, self.outer, np.minimum(t, 1)), spot.mask.alpha


@dataclass(frozen=True)
class Pattern:
    """Stripes, dots or checks of two colors, with edges anti-aliased over about a pixel."""

    kind: str
    first: RGB
    second: RGB
    period: float = 0.3
    turn: float = 0.1

    def __call__(self, spot: Spot) -> tuple[Color, Plane]:
        """The pattern, alpha unchanged."""
        c, s = np.cos(self.turn * 2 * np.pi), np.sin(self.turn * 2 * np.pi)
        rate = 2 * np.pi / self.period
        u = np.cos(spot.along((c * spot.to_object[0] + s * spot.to_object[1]) * rate))
        sharp = np.float32(spot.scale * self.period / 7)
        if self.kind == "stripes":
            wave = u
        else:
            v = np.cos(spot.along((c * spot.to_object[1] - s * spot.to_object[0]) * rate))
            wave = u * v if self.kind == "checks" else u + v - 1
        return blend(self.first, self.second, np.clip(wave * sharp + np.float32(0.5), 0, 1)), spot.mask.alpha


@dataclass(frozen=True)
class Puffy:
    """Another paint with the shading of an inflated shape that is lit from one side."""

    base: Paint
    strength: float = 0.5
    softness: float = 0.25
    light: tuple[float, float] = (-0.6, -0.8)

    def __call__(self, spot: Spot) -> tuple[Color, Plane]:
        """The base's colors, lighter towards the light and darker away from it."""
        color, alpha = self.base(spot)
        sigma = max(1.0, self.softness * spot.scale)
        h, w = spot.mask.alpha.shape
        step = max(1, min(int(sigma / 2), h // 4, w // 4))
        small = cv2.resize(spot.mask.alpha, (-(-w // step), -(-h // step)), interpolation=cv2.INTER_AREA)
        # replicated border: the shape may continue beyond the image
        small = cv2.GaussianBlur(small, (0, 0), max(0.8, sigma / step), borderType=cv2.BORDER_REPLICATE)
        slope = cv2.Sobel(small, cv2.CV_32F, 1, 0, scale=self.light[0]) + cv2.Sobel(
            small, cv2.CV_32F, 0, 1, scale=self.light[1]
        )
        gain = self.strength * sigma / step * 0.3
        lit = cv2.resize(np.clip(-slope * gain, -0.6, 0.6), (w, h), interpolation=cv2.INTER_LINEAR)
        white = np.maximum(lit, 0)
        keep = (1 + np.minimum(lit, 0)) * (1 - white)
        out = np.empty((3, h, w), np.float32)
        for channel in range(3):
            np.multiply(keep, color[channel], out=out[channel])
            out[channel] += white
        return out, alpha


@lru_cache(maxsize=8)
def _grain(seed: int, size: int) -> Plane:
    """Camera grain for a whole image, cached for all frames."""
    return np.random.default_rng(seed).standard_normal((size, size), dtype=np.float32)


@dataclass(frozen=True)
class Texture:
    """A photo-like surface: a color ramp indexed by noise that moves with the object, plus grain.

    Attributes:
        tile: seamlessly tileable noise ``n n`` in 0..1.
        ramp: colors ``k 3`` in 0..1 from low to high noise.
        zoom: tiles per object unit.
        grain: standard deviation of the grain.
        seed: seed of the grain, which is fixed to the image as in a camera.
    """

    tile: Plane
    ramp: Plane
    zoom: float = 0.5
    grain: float = 0.02
    seed: int = 0
    _table: Plane = field(init=False)

    def __post_init__(self) -> None:
        at = np.linspace(0, len(self.ramp) - 1, 256)
        knots = np.arange(len(self.ramp))
        table = np.stack([np.interp(at, knots, self.ramp[:, c]) for c in range(3)], axis=1)
        object.__setattr__(self, "_table", table.astype(np.float32))

    def __call__(self, spot: Spot) -> tuple[Color, Plane]:
        """The surface, alpha unchanged."""
        h, w = spot.mask.alpha.shape
        matrix = spot.to_object * (self.zoom * len(self.tile))
        matrix[:, 2] += len(self.tile) * 8  # remap wraps, but its fixed-point coordinates should stay positive
        noise = cv2.warpAffine(
            self.tile, matrix, (w, h), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_WRAP
        )
        index = cv2.convertScaleAbs(noise, alpha=255)
        right, low = spot.mask.x + w, spot.mask.y + h
        sheet = _grain(self.seed % 4, 256 * -(-max(right, low) // 256))  # few different sizes, for the cache
        grain = sheet[spot.mask.y : low, spot.mask.x : right] * np.float32(self.grain)
        planes = np.stack([np.asarray(cv2.LUT(index, self._table[:, c]), np.float32) + grain for c in range(3)])
        return np.clip(planes, 0, 1), spot.mask.alpha
