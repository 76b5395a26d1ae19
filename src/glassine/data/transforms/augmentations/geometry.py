"""Where the sticker stands in the frame."""

import cv2
import numpy as np

from ..base import Augmentation, Floats
from ..layers import warp


class Flip(Augmentation):
    """Mirror left and right; args as `Augmentation`."""

    def __init__(self, probability: float = 0.5) -> None:
        super().__init__(probability)

    def __call__(self, frames: Floats, rng: np.random.Generator) -> Floats:
        """Mirror every frame."""
        return np.ascontiguousarray(frames[:, :, ::-1])


class Move(Augmentation):
    """Rotate, scale and shift the whole clip by one affine map.

    Args:
        rotation: Largest turn either way, in degrees.
        scale: Smallest and largest size against the original.
        shift: Largest shift either way, in parts of the frame.
        border: How often the sticker is pushed to an edge of the frame instead, up to a quarter of it outside, so
            that the frame's border is not all background.
        probability: How often a clip gets it.
    """

    def __init__(
        self,
        rotation: float = 20.0,
        scale: tuple[float, float] = (0.65, 1.2),
        shift: float = 0.1,
        border: float = 0.2,
        probability: float = 0.6,
    ) -> None:
        super().__init__(probability)
        self.rotation = rotation
        self.scale = scale
        self.shift = shift
        self.border = border

    def __call__(self, frames: Floats, rng: np.random.Generator) -> Floats:
        """Move every frame by the same map."""
        height, width = frames.shape[1:3]
        middle = ((width - 1) / 2, (height - 1) / 2)
        turn, scale = rng.uniform(-self.rotation, self.rotation), rng.uniform(*self.scale)
        matrix = np.asarray(cv2.getRotationMatrix2D(middle, turn, scale), np.float64)
        matrix[:, 2] += rng.uniform(-self.shift, self.shift, 2) * (width, height)
        if rng.random() < self.border:
            matrix[:, 2] += _to_the_edge(frames, matrix, rng)
        return warp(frames, matrix)


def _to_the_edge(frames: Floats, matrix: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the shift `x y` in pixels that takes the moved sticker to or over one edge."""
    size = np.array((frames.shape[2], frames.shape[1]))
    rows, columns = np.nonzero(frames[..., 3].max(axis=0) > 0.5)
    shift = np.zeros(2)
    if not len(rows):
        return shift
    moved = np.stack((columns, rows), axis=1) @ matrix[:, :2].T + matrix[:, 2]  # n 2
    low, high = moved.min(axis=0), moved.max(axis=0)
    axis, outside = int(rng.integers(2)), rng.uniform(0, 0.25)
    beyond = outside * (high[axis] - low[axis])
    shift[axis] = -low[axis] - beyond if rng.random() < 0.5 else size[axis] - 1 - high[axis] + beyond
    return shift
