"""Sensor and film noise."""

import cv2
import numpy as np

from ..base import Bytes, Degradation


class Noise(Degradation):
    """Gaussian noise, new in each frame; fine, or as coarse as the errors of a VAE's decoder.

    Args:
        deviation: Smallest and largest standard deviation, in parts of the full range.
        coarse: How often the grain is two to four pixels wide rather than one.
        probability: How often a clip gets it.
    """

    name = "noise"

    def __init__(
        self, deviation: tuple[float, float] = (0.003, 0.03), coarse: float = 0.4, probability: float = 1.0
    ) -> None:
        super().__init__(probability)
        self.deviation = deviation
        self.coarse = coarse

    def __call__(self, clip: Bytes, rng: np.random.Generator) -> Bytes:
        """Add the noise, rounded and clipped to 8 bits."""
        frames, height, width, _ = clip.shape
        deviation = rng.uniform(*self.deviation) * 255
        grain = int(rng.integers(2, 5)) if rng.random() < self.coarse else 1
        shape = (frames, -(-height // grain), -(-width // grain), 3)
        noise = rng.standard_normal(shape, np.float32) * deviation
        if grain > 1:
            noise = np.stack([cv2.resize(one, (width, height), interpolation=cv2.INTER_CUBIC) for one in noise])
        return np.clip(clip + noise + 0.5, 0, 255).astype(np.uint8)
