"""A background that is a moving picture: what ILDiff's clips do not have, and what its readers ask about."""

import cv2
import numpy as np

from .base import Background, Floats

_MARGIN = 1.5  # the picture is this many frames wide and high, so that it can pan


class MovingBackground(Background):
    """Soft patches of a few colours that pan behind the sticker.

    Args:
        speed: how far it moves from one frame to the next, in shares of the frame.
        patches: colour patches across the frame; more make a finer texture.
        weight: How often it is chosen against its neighbours in the list.
    """

    name = "moving_background"

    def __init__(self, speed: float = 0.02, patches: int = 5, weight: float = 1.0) -> None:
        super().__init__(weight)
        if speed < 0 or patches < 1:
            raise ValueError(f"speed {speed} and {patches} patches came; give 0 or more and 1 or more")
        self.speed, self.patches = speed, patches

    def __call__(self, frames: Floats, rng: np.random.Generator) -> Floats:
        """Return a picture for every frame, `f h w 3` in [0, 1]; `frames` is `f h w 4`."""
        count, height, width = frames.shape[:3]
        cells = max(2, round(self.patches * _MARGIN))
        colours = rng.random((cells, cells, 3)).astype(np.float32)
        size = (round(width * _MARGIN), round(height * _MARGIN))
        picture = cv2.resize(colours, size, interpolation=cv2.INTER_CUBIC).clip(0, 1)
        angle = rng.uniform(0, 2 * np.pi)
        step = self.speed * np.array([np.cos(angle) * width, np.sin(angle) * height])
        room = np.array([size[0] - width, size[1] - height])
        seen = []
        for number in range(count):
            # there and back again, so that a long clip stays on the picture
            x, y = np.abs((room / 2 + number * step + room) % (2 * room) - room).round().astype(int)
            seen.append(picture[y : y + height, x : x + width])
        return np.stack(seen)
