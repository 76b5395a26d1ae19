"""The training transform: a sticker in, a clip as users bring it and its truth out."""

from collections.abc import Sequence

import numpy as np
import torch

from .base import Augmentation, Background, Bytes, Degradation, numpy_generator
from .recipes import training_augmentations, training_backgrounds, training_degradations
from .sample import ClipSample, make_sample, sticker_floats


class StickerTransform:
    """Augment the sticker, choose a background, composite, damage; settings are drawn once per clip.

    Args:
        backgrounds: One is chosen by weight; None is `recipes.training_backgrounds()`.
        degradations: Each is applied by its own probability, in this order; None is `recipes.training_degradations()`.
        augmentations: Likewise, on the sticker before it is composited; None is `recipes.training_augmentations()`.
        clean: How often a clip gets no degradation at all, whatever their probabilities.

    An empty list turns a stage off (at least one background is needed).
    """

    def __init__(
        self,
        backgrounds: list[Background] | None = None,
        degradations: list[Degradation] | None = None,
        augmentations: list[Augmentation] | None = None,
        clean: float = 0.35,
    ) -> None:
        self.backgrounds: Sequence[Background] = training_backgrounds() if backgrounds is None else backgrounds
        self.degradations: Sequence[Degradation] = training_degradations() if degradations is None else degradations
        self.augmentations: Sequence[Augmentation] = (
            training_augmentations() if augmentations is None else augmentations
        )
        self.clean = clean
        weights = np.array([background.weight for background in self.backgrounds])
        if not weights.sum() > 0:
            raise ValueError("no background has a weight above 0; list at least one")
        self._shares = weights / weights.sum()

    def __call__(self, frames: Bytes, generator: torch.Generator | None = None) -> ClipSample:
        """Transform one clip.

        Args:
            frames: Straight RGBA `f h w 4` uint8 at the size to train at.
            generator: Source of all randomness (one number is drawn from it); None is torch's default one.

        Returns:
            The clip and its truth, see `ClipSample`; the same seed gives the same sample.

        Raises:
            ValueError: Where `frames` have another shape or type.
        """
        rng = numpy_generator(generator)
        sticker = sticker_floats(frames)
        for augmentation in self.augmentations:
            if rng.random() < augmentation.probability:
                sticker = augmentation(sticker, rng)
        background = self.backgrounds[int(rng.choice(len(self._shares), p=self._shares))]
        damaged = rng.random() >= self.clean
        chosen = [d for d in self.degradations if rng.random() < d.probability and damaged]
        condition = "+".join([background.name, *(degradation.name for degradation in chosen)])
        return make_sample(sticker, background(sticker, rng), chosen, rng, condition)
