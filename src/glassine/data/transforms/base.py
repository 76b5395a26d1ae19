"""The three kinds of parts a sticker transform is put together from, and where their randomness comes from."""

from abc import ABC, abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]


class Augmentation(ABC):
    """Changes the sticker itself, colours and alpha together, so that both stay each other's exact truth.

    Args:
        probability: How often a clip gets it, 0 to 1.
    """

    def __init__(self, probability: float) -> None:
        self.probability = checked_probability(probability)

    @abstractmethod
    def __call__(self, frames: Floats, rng: np.random.Generator) -> Floats:
        """Change every frame by settings drawn once per clip.

        Args:
            frames: Straight RGBA `f h w 4` in [0, 1]; the caller keeps no other use of it. Colours where alpha is 0
                mean nothing.
            rng: Source of all randomness.

        Returns:
            Straight RGBA of the same shape.
        """


class Background(ABC):
    """Chooses what a clip is composited on: one flat colour, or a picture for every frame.

    Args:
        weight: How often it is chosen against its neighbours in the list.
    """

    name: str

    def __init__(self, weight: float) -> None:
        if weight < 0:
            raise ValueError(f"a background's weight is {weight}; it must be 0 or more")
        self.weight = weight

    @abstractmethod
    def __call__(self, frames: Floats, rng: np.random.Generator) -> Floats:
        """Choose for `frames` (straight RGBA `f h w 4` in [0, 1]); returns `3` or `f h w 3` in [0, 1]."""


class Degradation(ABC):
    """Damages the opaque clip as files do on their way to a user; the truth (alpha, colours) stays as it was.

    Args:
        probability: How often a clip gets it, 0 to 1.
    """

    name: str

    def __init__(self, probability: float) -> None:
        self.probability = checked_probability(probability)

    @abstractmethod
    def __call__(self, clip: Bytes, rng: np.random.Generator) -> Bytes:
        """Damage every frame by settings drawn once per clip; `clip` and the result are RGB `f h w 3` uint8."""


def checked_probability(probability: float) -> float:
    """Return `probability`; raise ValueError where it is outside [0, 1]."""
    if not 0 <= probability <= 1:
        raise ValueError(f"a probability is {probability}; it must lie in [0, 1]")
    return probability


def numpy_generator(generator: torch.Generator | None) -> np.random.Generator:
    """Return a numpy generator seeded by one draw from `generator` (from torch's default one where None).

    The parts draw many single numbers, which numpy does about ten times as fast as torch.
    """
    return np.random.default_rng(int(torch.randint(0, 2**62, (), generator=generator)))
