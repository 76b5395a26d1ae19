"""Stickers that are partly clear all over."""

import numpy as np

from ..base import Augmentation, Floats


class Fade(Augmentation):
    """Multiply alpha by a constant, by a ramp over time (fade in or out) or by a ramp across the frame.

    Args:
        opacity: Smallest and largest factor.
        over_time: How often the factor runs from frame to frame.
        across: How often it runs across the frame.
        probability: How often a clip gets it.
    """

    def __init__(
        self,
        opacity: tuple[float, float] = (0.25, 0.95),
        over_time: float = 0.35,
        across: float = 0.25,
        probability: float = 0.1,
    ) -> None:
        super().__init__(probability)
        if not 0 <= opacity[0] <= opacity[1] <= 1:
            raise ValueError(f"the opacity range is {opacity}; it must be low, high within [0, 1]")
        if over_time + across > 1:
            raise ValueError(f"over_time {over_time} and across {across} sum to more than 1")
        self.opacity = opacity
        self.over_time = over_time
        self.across = across

    def __call__(self, frames: Floats, rng: np.random.Generator) -> Floats:
        """Multiply alpha; colours stay."""
        count, height, width, _ = frames.shape
        first, last = rng.uniform(*self.opacity, 2)
        kind = rng.random()
        factor: np.ndarray
        if kind < self.over_time:
            last = 1.0 if rng.random() < 0.5 else last
            factor = np.linspace(first, last, count).reshape(count, 1, 1)
            factor = factor[::-1] if rng.random() < 0.5 else factor
        elif kind < self.over_time + self.across:
            angle = rng.uniform(0, 2 * np.pi)
            rows, columns = np.mgrid[-0.5 : 0.5 : height * 1j, -0.5 : 0.5 : width * 1j]
            along = rows * np.sin(angle) + columns * np.cos(angle)
            factor = np.clip(first + (last - first) * (along + 0.5), 0, 1)
        else:
            factor = np.full((1, 1, 1), first)
        result = frames.copy()
        result[..., 3] *= factor
        return result
