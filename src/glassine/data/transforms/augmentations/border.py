"""The cut edge around die-cut stickers."""

import cv2
import numpy as np

from ..base import Augmentation, Floats
from ..layers import grown, put_under


class CutBorder(Augmentation):
    """A band of one colour, mostly white, around the sticker.

    Args:
        width: Thinnest and thickest band, in parts of the frame's height.
        white: How often the band is white; else any colour.
        probability: How often a clip gets it.
    """

    def __init__(
        self, width: tuple[float, float] = (0.015, 0.05), white: float = 0.75, probability: float = 0.1
    ) -> None:
        super().__init__(probability)
        self.width = width
        self.white = white

    def __call__(self, frames: Floats, rng: np.random.Generator) -> Floats:
        """Put the band under the sticker."""
        width = rng.uniform(*self.width) * frames.shape[1]
        colour = np.ones(3, np.float32) if rng.random() < self.white else rng.uniform(0, 1, 3).astype(np.float32)
        band = grown(frames[..., 3], width)
        soft = np.stack([cv2.GaussianBlur(plane, (0, 0), 0.7) for plane in band])  # the disc's staircase
        return put_under(frames, soft, colour)
