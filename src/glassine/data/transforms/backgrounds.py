"""Background colours that stickers are composited on."""

from collections.abc import Sequence

import numpy as np

from .base import Background, Floats
from .main_colour import main_colour, outline_colour


class FlatBackground(Background):
    """Always the same colour.

    Args:
        colour: Red, green and blue in [0, 1]; mid gray is 0.5.
        name: What the clip's `condition` calls it.
        weight: How often it is chosen against its neighbours in the list.
    """

    def __init__(self, colour: Sequence[float], name: str, weight: float = 1.0) -> None:
        super().__init__(weight)
        if len(colour) != 3 or not all(0 <= channel <= 1 for channel in colour):
            raise ValueError(f"a background's colour is {colour}; it must be three numbers in [0, 1]")
        self.colour = np.array(colour, np.float32)
        self.name = name

    def __call__(self, frames: Floats, rng: np.random.Generator) -> Floats:
        """Return the colour."""
        return self.colour.copy()


class RandomColour(Background):
    """Any colour, each 8-bit value as likely as the next; args as `Background`."""

    name = "random_colour"

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__(weight)

    def __call__(self, frames: Floats, rng: np.random.Generator) -> Floats:
        """Draw a colour."""
        return (rng.integers(0, 256, 3) / 255).astype(np.float32)


class OwnColour(Background):
    """The sticker's own main colour, which no method can tell from the sticker by colour alone.

    Args:
        weight: How often it is chosen against its neighbours in the list.
        spread: The colour moves by up to this much per channel; 0 is the colour itself.
    """

    name = "own_colour"

    def __init__(self, weight: float = 1.0, spread: float = 0.0) -> None:
        super().__init__(weight)
        self.spread = spread

    def __call__(self, frames: Floats, rng: np.random.Generator) -> Floats:
        """Return the main colour of `frames`, moved by at most `spread`."""
        return _moved(main_colour(frames), self.spread, rng)


class OutlineColour(Background):
    """The colour just inside the sticker's outer edge; args as `OwnColour`."""

    name = "outline_colour"

    def __init__(self, weight: float = 1.0, spread: float = 0.0) -> None:
        super().__init__(weight)
        self.spread = spread

    def __call__(self, frames: Floats, rng: np.random.Generator) -> Floats:
        """Return the outline colour of `frames`, moved by at most `spread`."""
        return _moved(outline_colour(frames), self.spread, rng)


def _moved(colour: Floats, spread: float, rng: np.random.Generator) -> Floats:
    moved = colour + rng.uniform(-spread, spread, 3)
    # Whole 8-bit values: the clip is stored in them, and so its clear pixels equal the stated background exactly
    return (np.round(np.clip(moved, 0, 1) * 255) / 255).astype(np.float32)
