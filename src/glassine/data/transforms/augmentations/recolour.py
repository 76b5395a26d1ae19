"""Other colours for the same drawing."""

import cv2
import numpy as np

from ..base import Augmentation, Floats

_LUMA = np.array((0.299, 0.587, 0.114), np.float32)
_GRAY_AXIS = np.full((3, 3), 1 / 3)
# The cross product with the gray axis: turns colours around it
_TURN = np.array(((0, -1, 1), (1, 0, -1), (-1, 1, 0))) / np.sqrt(3)


class Recolour(Augmentation):
    """Turn hues, change saturation, brightness and contrast; sometimes swap channels, drop colour or invert.

    Args:
        hue: Largest turn of the hue either way, in degrees.
        saturation: Smallest and largest factor on the distance from gray.
        brightness: Largest shift either way, in parts of the full range.
        contrast: Smallest and largest factor around mid gray.
        swap: How often the channels change places.
        grayscale: How often colour goes altogether.
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
        """Change the colours; alpha stays."""
        # All of it is affine in the colour, so one 3x4 matrix does it in one pass
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
        coloured = np.clip(cv2.transform(rows, affine), 0, 1).reshape(count, height, width, 3)
        return np.concatenate((coloured, frames[..., 3:]), axis=-1)
