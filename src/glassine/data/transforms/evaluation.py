"""The conditions under which methods are compared: fixed, so that every method sees the same pixels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .augmentations import Fade
from .backgrounds import FlatBackground, OwnColour
from .base import Augmentation, Background, Bytes, Degradation
from .degradations import GifPalette, Jpeg, VaeRoundTrip
from .moving_background import MovingBackground
from .sample import ClipSample, make_sample, sticker_floats


@dataclass(frozen=True)
class EvalCondition:
    """A transform without chance: every part is always applied, with the same draws for every clip.

    Attributes:
        name: Column of the score table; the sample's `condition`.
        background: What the sticker is composited on.
        augmentations: Applied to the sticker, in this order.
        degradations: Applied to the opaque clip, in this order.
    """

    name: str
    background: Background
    augmentations: Sequence[Augmentation] = ()
    degradations: Sequence[Degradation] = ()

    def __call__(self, frames: Bytes, generator: torch.Generator | None = None) -> ClipSample:
        """Transform `frames` (`f h w 4` uint8); `generator` is there for the data module's sake and not drawn from."""
        rng = np.random.default_rng(0)
        sticker = sticker_floats(frames)
        for augmentation in self.augmentations:
            sticker = augmentation(sticker, rng)
        return make_sample(sticker, self.background(sticker, rng), self.degradations, rng, self.name)


def evaluation_conditions(round_trip: Callable[[Tensor], Tensor] | None = None) -> tuple[EvalCondition, ...]:
    """Return the columns of the score table, in its order.

    Procedural glass is not here: it is another data set under the condition `white`.

    Args:
        round_trip: Encodes and decodes `f 3 h w` in [0, 1] by a VAE; without it there is no `vae_decoded`.
    """
    white = FlatBackground((1.0, 1.0, 1.0), "white")
    conditions = [
        EvalCondition("white", white),
        EvalCondition("gray", FlatBackground((0.5, 0.5, 0.5), "gray")),
        EvalCondition("own_colour", OwnColour()),
        EvalCondition("own_colour_jpeg75", OwnColour(), degradations=(Jpeg((75, 75), full_colour=0.0),)),
        EvalCondition("white_gif_palette", white, degradations=(GifPalette((64, 64), dither=1.0, shared=1.0),)),
    ]
    if round_trip is not None:
        conditions.append(EvalCondition("vae_decoded", white, degradations=(VaeRoundTrip(round_trip),)))
    faded = Fade((0.5, 0.5), over_time=0.0, across=0.0, probability=1.0)
    conditions.append(EvalCondition("faded", white, augmentations=(faded,)))
    conditions.append(EvalCondition("moving_background", MovingBackground()))
    return tuple(conditions)
