"""Openings inside the sticker through which the background shows."""

import cv2
import numpy as np

from ..base import Augmentation, Floats


class PunchHoles(Augmentation):
    """Cut round or angular openings with soft edges, at one place for the whole clip, sometimes drifting.

    Args:
        count: Fewest and most openings.
        radius: Smallest and largest, in parts of the frame's height.
        probability: How often a clip gets it.
    """

    def __init__(
        self, count: tuple[int, int] = (1, 3), radius: tuple[float, float] = (0.03, 0.13), probability: float = 0.08
    ) -> None:
        super().__init__(probability)
        self.count = count
        self.radius = radius

    def __call__(self, frames: Floats, rng: np.random.Generator) -> Floats:
        """Cut openings where the sticker is solid in all frames; alpha there becomes 0."""
        rows, columns = np.nonzero(frames[..., 3].min(axis=0) > 0.9)
        if not len(rows):
            return frames
        result = frames.copy()
        for _ in range(int(rng.integers(self.count[0], self.count[1] + 1))):
            at = int(rng.integers(len(rows)))
            outline = self._outline(rng) * rng.uniform(*self.radius) * frames.shape[1]
            drift = rng.normal(0, 1.0, 2) if rng.random() < 0.5 else np.zeros(2)
            for step, frame in enumerate(result):
                points = outline + (columns[at], rows[at]) + drift * (step - len(frames) / 2)
                opening = np.zeros(frame.shape[:2], np.uint8)
                # Points in 1/16 pixel, so that the drift is smooth
                cv2.fillPoly(opening, [np.round(points * 16).astype(np.int32)], 255, cv2.LINE_AA, shift=4)
                frame[..., 3] *= 1 - opening.astype(np.float32) / 255
        return result

    @staticmethod
    def _outline(rng: np.random.Generator) -> np.ndarray:
        """Return the corners `n 2` of an ellipse or a polygon of size about 1."""
        corners = 40 if rng.random() < 0.6 else int(rng.integers(3, 8))
        angles = np.linspace(0, 2 * np.pi, corners, endpoint=False) + rng.uniform(0, 2 * np.pi)
        return np.stack((np.cos(angles), np.sin(angles) * rng.uniform(0.5, 1.0)), axis=1)
