"""Backgrounds that stickers are composited on: flat colors, the sticker's own colors, and moving pictures."""

from collections.abc import Sequence

import cv2
import numpy as np

from glassine.data.transforms.base import Background, Floats, main_color, outline_color


class FlatBackground(Background):
    """Always the same color.

    Args:
        color: Red, green and blue in [0, 1]; mid gray is 0.5.
        name: What the clip's `condition` calls it.
        weight: How often it is chosen against its neighbors in the list.
    """

    def __init__(self, color: Sequence[float], name: str, weight: float = 1.0) -> None:
        super().__init__(weight)
        if len(color) != 3 or not all(0 <= channel <= 1 for channel in color):
            raise ValueError(f"color must be three numbers in [0, 1], got {color}")
        self.color = np.array(color, np.float32)
        self.name = name

    def __call__(self, frames: Floats, rng: np.random.Generator) -> Floats:
        """Return the color."""
        return self.color.copy()


class RandomColor(Background):
    """Any color, each 8-bit value as likely as the next; args as `Background`."""

    name = "random_color"

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__(weight)

    def __call__(self, frames: Floats, rng: np.random.Generator) -> Floats:
        """Draw a color."""
        return (rng.integers(0, 256, 3) / 255).astype(np.float32)


class OwnColor(Background):
    """The sticker's own main color, which no method can tell from the sticker by color alone.

    Args:
        weight: How often it is chosen against its neighbors in the list.
        spread: The color moves by up to this much per channel; 0 is the color itself.
    """

    name = "own_color"

    def __init__(self, weight: float = 1.0, spread: float = 0.0) -> None:
        super().__init__(weight)
        self.spread = spread

    def __call__(self, frames: Floats, rng: np.random.Generator) -> Floats:
        """Return the main color of `frames`, moved by at most `spread`."""
        return _moved(main_color(frames), self.spread, rng)


class OutlineColor(Background):
    """The color just inside the sticker's outer edge; args as `OwnColor`."""

    name = "outline_color"

    def __init__(self, weight: float = 1.0, spread: float = 0.0) -> None:
        super().__init__(weight)
        self.spread = spread

    def __call__(self, frames: Floats, rng: np.random.Generator) -> Floats:
        """Return the outline color of `frames`, moved by at most `spread`."""
        return _moved(outline_color(frames), self.spread, rng)


def _moved(color: Floats, spread: float, rng: np.random.Generator) -> Floats:
    moved = color + rng.uniform(-spread, spread, 3)
    # Whole 8-bit values: the clip is stored in them, and so its clear pixels equal the stated background exactly
    return (np.round(np.clip(moved, 0, 1) * 255) / 255).astype(np.float32)


_MARGIN = 1.5  # the picture is this many frames wide and high, so that it can pan


class MovingBackground(Background):
    """Soft patches of a few colors that pan behind the sticker.

    Args:
        speed: how far it moves from one frame to the next, in shares of the frame.
        patches: color patches across the frame; more make a finer texture.
        weight: How often it is chosen against its neighbors in the list.
    """

    name = "moving_background"

    def __init__(self, speed: float = 0.02, patches: int = 5, weight: float = 1.0) -> None:
        super().__init__(weight)
        if speed < 0 or patches < 1:
            raise ValueError(f"speed must be 0 or more and patches 1 or more, got {speed} and {patches}")
        self.speed, self.patches = speed, patches

    def __call__(self, frames: Floats, rng: np.random.Generator) -> Floats:
        """Return a picture for every frame, `f h w 3` in [0, 1]; `frames` is `f h w 4`."""
        count, height, width = frames.shape[:3]
        cells = max(2, round(self.patches * _MARGIN))
        colors = rng.random((cells, cells, 3)).astype(np.float32)
        size = (round(width * _MARGIN), round(height * _MARGIN))
        picture = cv2.resize(colors, size, interpolation=cv2.INTER_CUBIC).clip(0, 1)
        angle = rng.uniform(0, 2 * np.pi)
        step = self.speed * np.array([np.cos(angle) * width, np.sin(angle) * height])
        room = np.array([size[0] - width, size[1] - height])
        seen = []
        for number in range(count):
            # there and back again, so that a long clip stays on the picture
            x, y = np.abs((room / 2 + number * step + room) % (2 * room) - room).round().astype(int)
            seen.append(picture[y : y + height, x : x + width])
        return np.stack(seen)
