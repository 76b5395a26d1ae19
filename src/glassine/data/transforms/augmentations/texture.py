"""The look of photographs: surfaces that are nowhere flat."""

import cv2
import numpy as np

from ..base import Augmentation, Floats


class Texture(Augmentation):
    """Multiply the colours by smooth random texture of several sizes, and add grain.

    Args:
        strength: Smallest and largest depth of the texture, in parts of the brightness.
        probability: How often a clip gets it.
    """

    def __init__(self, strength: tuple[float, float] = (0.1, 0.5), probability: float = 0.12) -> None:
        super().__init__(probability)
        self.strength = strength

    def __call__(self, frames: Floats, rng: np.random.Generator) -> Floats:
        """Lay the texture over the colours; alpha stays."""
        height, width = frames.shape[1:3]
        strength, coloured = rng.uniform(*self.strength), rng.random() < 0.5
        texture = np.zeros((height, width, 3), np.float32)
        for cells in (4, 8, 16, 32, 64):
            noise = rng.standard_normal((cells, cells, 3), np.float32)
            if not coloured:
                noise[:] = noise[..., :1]
            weight = rng.uniform(0.2, 1.0) * cells**-0.35
            texture += weight * cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
        result = frames.copy()
        result[..., :3] *= np.exp(strength * texture)  # one pattern in all frames: it lies on the object
        result[..., :3] += rng.standard_normal((height, width, 1), np.float32) * rng.uniform(0, 0.03)
        return np.clip(result, 0, 1, out=result)
