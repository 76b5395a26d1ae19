"""The look of flat vector drawings."""

import cv2
import numpy as np

from ..base import Augmentation, Floats

_SAMPLES = 800
_LEVELS = 32  # per channel in the table from colour to nearest palette entry


class FlatLook(Augmentation):
    """Few flat colours without shading, the same ones in every frame.

    Args:
        colours: Fewest and most colours.
        probability: How often a clip gets it.
    """

    def __init__(self, colours: tuple[int, int] = (2, 7), probability: float = 0.12) -> None:
        super().__init__(probability)
        self.colours = colours

    def __call__(self, frames: Floats, rng: np.random.Generator) -> Floats:
        """Replace each colour by the nearest of a palette drawn for the clip."""
        solid = frames[..., :3][frames[..., 3] > 0.9]  # n 3
        count = int(rng.integers(self.colours[0], self.colours[1] + 1))
        if len(solid) < count:
            return frames
        palette = self._palette(solid[rng.integers(0, len(solid), _SAMPLES)], count, rng)
        levels = np.clip(frames[..., :3] * (_LEVELS - 1) + 0.5, 0, _LEVELS - 1).astype(np.uint8)
        levels = np.stack([cv2.medianBlur(frame, 3) for frame in levels])  # no speckles where two colours meet
        index = levels.astype(np.int32) @ np.array((_LEVELS**2, _LEVELS, 1), np.int32)  # f h w
        result = frames.copy()
        result[..., :3] = self._nearest(palette)[index]
        return result

    @staticmethod
    def _palette(samples: Floats, count: int, rng: np.random.Generator) -> Floats:
        """Return `count 3` colours by a few steps of k-means from random samples, then pushed a little apart."""
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
        """Return the table `levels^3 3` from quantised colours to the nearest palette entry."""
        axis = np.linspace(0, 1, _LEVELS, dtype=np.float32)
        distance = sum(np.square(axis[:, None] - palette[:, c]).reshape(_shape(c)) for c in range(3))
        return palette[np.asarray(distance).argmin(axis=-1).reshape(-1)]


def _shape(channel: int) -> tuple[int, ...]:
    return (*(_LEVELS if axis == channel else 1 for axis in range(3)), -1)
