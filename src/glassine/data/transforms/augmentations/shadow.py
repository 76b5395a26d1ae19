"""Soft shadows and glows behind the sticker."""

import numpy as np

from ..base import Augmentation, Floats
from ..layers import blurred, grown, put_under, warp


class Shadow(Augmentation):
    """A soft dark copy of the silhouette, shifted; or, as a glow, a bright one around it. Alpha stays exact.

    Args:
        softness: Smallest and largest standard deviation of the blur, in parts of the frame's height.
        opacity: Smallest and largest opacity of the layer.
        shift: Largest shift of a shadow either way, in parts of the frame.
        glow: How often it is a glow: grown rather than shifted, in any bright colour.
        probability: How often a clip gets it.
    """

    def __init__(
        self,
        softness: tuple[float, float] = (0.015, 0.06),
        opacity: tuple[float, float] = (0.25, 0.8),
        shift: float = 0.06,
        glow: float = 0.4,
        probability: float = 0.1,
    ) -> None:
        super().__init__(probability)
        self.softness = softness
        self.opacity = opacity
        self.shift = shift
        self.glow = glow

    def __call__(self, frames: Floats, rng: np.random.Generator) -> Floats:
        """Put the layer under the sticker."""
        height, width = frames.shape[1:3]
        sigma = rng.uniform(*self.softness) * height
        opacity = np.float32(rng.uniform(*self.opacity))
        if rng.random() < self.glow:
            layer = blurred(grown(frames[..., 3], sigma), sigma)
            colour = np.maximum(rng.uniform(0.2, 1.0, 3), np.eye(3)[rng.integers(3)]).astype(np.float32)
        else:
            offset = rng.uniform(-self.shift, self.shift, 2) * (width, height)
            moved = warp(frames, np.array(((1, 0, offset[0]), (0, 1, offset[1]))))
            layer = blurred(moved[..., 3], sigma)
            colour = rng.uniform(0, 0.2, 3).astype(np.float32)
        return put_under(frames, np.clip(layer, 0, 1) * opacity, colour)
