"""Other styles for the same drawing: other colors, flat vector art, line art, and photographic textures."""

import cv2
import numpy as np

from glassine.data.transforms.base import Augmentation, Floats, grown
from glassine.utils.colors import LUMA

_SAMPLES = 800
_LEVELS = 32  # per channel in the table from color to nearest palette entry


class FlatLook(Augmentation):
    """Few flat colors without shading, the same ones in every frame.

    Args:
        colors: Fewest and most colors.
        probability: How often a clip gets it.
    """

    def __init__(self, colors: tuple[int, int] = (2, 7), probability: float = 0.12) -> None:
        super().__init__(probability)
        self.colors = colors

    def __call__(self, frames: Floats, rng: np.random.Generator) -> Floats:
        """Replace each color by the nearest of a palette drawn for the clip."""
        solid = frames[..., :3][frames[..., 3] > 0.9]  # n 3
        count = int(rng.integers(self.colors[0], self.colors[1] + 1))
        if len(solid) < count:
            return frames
        palette = self._palette(solid[rng.integers(0, len(solid), _SAMPLES)], count, rng)
        levels = np.clip(frames[..., :3] * (_LEVELS - 1) + 0.5, 0, _LEVELS - 1).astype(np.uint8)
        levels = np.stack([cv2.medianBlur(frame, 3) for frame in levels])  # no speckles where two colors meet
        index = levels.astype(np.int32) @ np.array((_LEVELS**2, _LEVELS, 1), np.int32)  # f h w
        result = frames.copy()
        result[..., :3] = self._nearest(palette)[index]
        return result

    @staticmethod
    def _palette(samples: Floats, count: int, rng: np.random.Generator) -> Floats:
        """Return `count 3` colors by a few steps of k-means from random samples, then pushed a little apart."""
        palette = samples[rng.integers(0, len(samples), count)]
        for _ in range(4):
            owner = np.square(samples[:, None] - palette).sum(axis=-1).argmin(axis=1)  # n
            for entry in range(count):
                mine = samples[owner == entry]
                if len(mine):
                    palette[entry] = mine.mean(axis=0)
        middle = palette.mean(axis=0)
        return np.clip(middle + (palette - middle) * rng.uniform(1.0, 1.5), 0, 1).astype(np.float32)

    @staticmethod
    def _nearest(palette: Floats) -> Floats:
        """Return the table `levels^3 3` from quantized colors to the nearest palette entry."""
        axis = np.linspace(0, 1, _LEVELS, dtype=np.float32)
        distance = sum(np.square(axis[:, None] - palette[:, c]).reshape(_shape(c)) for c in range(3))
        return palette[np.asarray(distance).argmin(axis=-1).reshape(-1)]


def _shape(channel: int) -> tuple[int, ...]:
    return (*(_LEVELS if axis == channel else 1 for axis in range(3)), -1)


class LineArt(Augmentation):
    """Lines along the silhouette and the inner edges, the inside filled with one paper color; alpha is kept.

    On a white background the white inside can only be told from the outside by its closed line.

    Args:
        width: Thinnest and thickest line, in parts of the frame's height.
        white_paper: How often the paper is white; else a light color.
        black_line: How often the line is near black; else a dark color.
        probability: How often a clip gets it.
    """

    def __init__(
        self,
        width: tuple[float, float] = (0.012, 0.03),
        white_paper: float = 0.7,
        black_line: float = 0.7,
        probability: float = 0.08,
    ) -> None:
        super().__init__(probability)
        self.width = width
        self.white_paper = white_paper
        self.black_line = black_line

    def __call__(self, frames: Floats, rng: np.random.Generator) -> Floats:
        """Replace the colors by paper and line."""
        width = rng.uniform(*self.width) * frames.shape[1]
        paper = np.ones(3) if rng.random() < self.white_paper else rng.uniform(0.7, 1.0, 3)
        line = np.full(3, rng.uniform(0, 0.12)) if rng.random() < self.black_line else rng.uniform(0, 0.45, 3)
        strength = np.maximum(self._silhouette(frames, width), self._inner_edges(frames, width))[..., None]
        result = frames.copy()
        result[..., :3] = paper + (line - paper) * strength
        return result

    @staticmethod
    def _silhouette(frames: Floats, width: float) -> Floats:
        """Return 1 on the band of `width` pixels inside the sticker's edge, 0 further in, `f h w`."""
        clear = grown(1 - frames[..., 3], width)
        soft = [cv2.GaussianBlur(plane, (0, 0), 0.6) for plane in clear]
        return np.clip(np.stack(soft) * 1.2 - 0.1, 0, 1)

    @staticmethod
    def _inner_edges(frames: Floats, width: float) -> Floats:
        """Return how sharply brightness changes inside the sticker, 0 to 1, `f h w`: a difference of Gaussians."""
        edges = []
        for frame in frames:
            gray = cv2.cvtColor(np.ascontiguousarray(frame[..., :3]), cv2.COLOR_RGB2GRAY)
            fine = cv2.GaussianBlur(gray, (0, 0), 0.5 * width)
            coarse = cv2.GaussianBlur(gray, (0, 0), 1.0 * width)
            edges.append(np.clip((coarse - fine) * 25 - 0.3, 0, 1))
        return np.stack(edges)


_LUMA = np.array(LUMA, np.float32)
_GRAY_AXIS = np.full((3, 3), 1 / 3)
# The cross product with the gray axis: turns colors around it
_TURN = np.array(((0, -1, 1), (1, 0, -1), (-1, 1, 0))) / np.sqrt(3)


class Recolor(Augmentation):
    """Turn hues, change saturation, brightness and contrast; sometimes swap channels, drop color or invert.

    Args:
        hue: Largest turn of the hue either way, in degrees.
        saturation: Smallest and largest factor on the distance from gray.
        brightness: Largest shift either way, in parts of the full range.
        contrast: Smallest and largest factor around mid gray.
        swap: How often the channels change places.
        grayscale: How often color goes altogether.
        invert: How often the picture becomes its negative.
        probability: How often a clip gets it.
    """

    def __init__(
        self,
        hue: float = 60.0,
        saturation: tuple[float, float] = (0.5, 1.4),
        brightness: float = 0.15,
        contrast: tuple[float, float] = (0.7, 1.3),
        swap: float = 0.3,
        grayscale: float = 0.08,
        invert: float = 0.08,
        probability: float = 0.6,
    ) -> None:
        super().__init__(probability)
        self.hue = hue
        self.saturation = saturation
        self.brightness = brightness
        self.contrast = contrast
        self.swap = swap
        self.grayscale = grayscale
        self.invert = invert

    def __call__(self, frames: Floats, rng: np.random.Generator) -> Floats:
        """Change the colors; alpha stays."""
        # All of it is affine in the color, so one 3x4 matrix does it in one pass
        angle = np.deg2rad(rng.uniform(-self.hue, self.hue))
        matrix = np.cos(angle) * np.eye(3) + np.sin(angle) * _TURN + (1 - np.cos(angle)) * _GRAY_AXIS
        gray = np.tile(_LUMA, (3, 1))
        saturation = 0.0 if rng.random() < self.grayscale else rng.uniform(*self.saturation)
        matrix = (saturation * np.eye(3) + (1 - saturation) * gray) @ matrix
        if rng.random() < self.swap:
            matrix = matrix[rng.permutation(3)]
        contrast, shift = rng.uniform(*self.contrast), rng.uniform(-self.brightness, self.brightness)
        matrix, offset = contrast * matrix, 0.5 - 0.5 * contrast + shift
        if rng.random() < self.invert:
            matrix, offset = -matrix, 1 - offset
        affine = np.concatenate((matrix, np.full((3, 1), offset)), axis=1)  # 3 4
        count, height, width, _ = frames.shape
        rows = np.ascontiguousarray(frames[..., :3]).reshape(count * height, width, 3)
        colored = np.clip(cv2.transform(rows, affine), 0, 1).reshape(count, height, width, 3)
        return np.concatenate((colored, frames[..., 3:]), axis=-1)


class Texture(Augmentation):
    """Multiply the colors by smooth random texture of several sizes, and add grain.

    Args:
        strength: Smallest and largest depth of the texture, in parts of the brightness.
        probability: How often a clip gets it.
    """

    def __init__(self, strength: tuple[float, float] = (0.1, 0.5), probability: float = 0.12) -> None:
        super().__init__(probability)
        self.strength = strength

    def __call__(self, frames: Floats, rng: np.random.Generator) -> Floats:
        """Lay the texture over the colors; alpha stays."""
        height, width = frames.shape[1:3]
        strength, colored = rng.uniform(*self.strength), rng.random() < 0.5
        texture = np.zeros((height, width, 3), np.float32)
        for cells in (4, 8, 16, 32, 64):
            noise = rng.standard_normal((cells, cells, 3), np.float32)
            if not colored:
                noise[:] = noise[..., :1]
            weight = rng.uniform(0.2, 1.0) * cells**-0.35
            texture += weight * cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
        result = frames.copy()
        result[..., :3] *= np.exp(strength * texture)  # one pattern in all frames: it lies on the object
        result[..., :3] += rng.standard_normal((height, width, 1), np.float32) * rng.uniform(0, 0.03)
        return np.clip(result, 0, 1, out=result)
