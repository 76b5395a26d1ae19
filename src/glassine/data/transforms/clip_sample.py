"""The training transform and the evaluation conditions: from a sticker to the tensors that tasks see.

The conditions under which methods are compared are fixed, so that every method sees the same pixels. The lists of parts
that :class:`StickerTransform` uses by default are here, too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NotRequired, TypedDict

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from glassine.data.alpha import composite, pad_color
from glassine.data.transforms.augmentations import CutBorder, Fade, Flip, Move, PunchHoles, Shadow
from glassine.data.transforms.backgrounds import (
    FlatBackground,
    MovingBackground,
    OutlineColor,
    OwnColor,
    RandomColor,
)
from glassine.data.transforms.base import Augmentation, Background, Bytes, Degradation, Floats, numpy_generator
from glassine.data.transforms.codecs import Enlarged, OrderedDither, VideoCompression
from glassine.data.transforms.degradations import Blur, GifPalette, Jpeg, Noise, Resize, VaeRoundTrip, Webp
from glassine.data.transforms.pictures import wide_backgrounds
from glassine.data.transforms.restyling import FlatLook, LineArt, Recolor, Texture


def training_backgrounds() -> list[Background]:
    """White and gray, as most stickers come, are a third; the sticker's own colors, the hard ones, nearly half."""
    return [
        FlatBackground((1.0, 1.0, 1.0), "white", weight=0.24),
        FlatBackground((0.5, 0.5, 0.5), "gray", weight=0.12),
        FlatBackground((0.0, 0.0, 0.0), "black", weight=0.06),
        RandomColor(weight=0.13),
        OwnColor(weight=0.27),
        OwnColor(weight=0.06, spread=0.08),
        OutlineColor(weight=0.12, spread=0.03),
    ]


def training_augmentations() -> list[Augmentation]:
    """Style first, then what lies around the sticker, then where it stands, and fading last."""
    return [
        Flip(),
        Recolor(),
        FlatLook(),
        Texture(),
        LineArt(),
        PunchHoles(),
        CutBorder(),
        Move(),
        Shadow(),
        Fade(),
    ]


def training_degradations() -> list[Degradation]:
    """In the order in which files take harm: made, scaled, compressed; several at once are common."""
    return [
        Resize(probability=0.2),
        Blur(probability=0.1),
        Noise(probability=0.15),
        Webp(probability=0.08),
        Jpeg(probability=0.5),
        GifPalette(probability=0.25),
    ]


@dataclass(frozen=True)
class ColorPadding:
    """How the colors of clear pixels are filled in, see `glassine.data.alpha.pad_color`.

    Attributes:
        factor: how much smaller each level of the pyramid is. LayerDiffuse's 1.2 costs three times as much as 2 and
            differs by about 0.01 where nothing is visible.
        blended: as published: a half transparent pixel of `foreground` gets half of its color from around it, and the
            clip is composited from the sticker's own colors, which are then in the sample as `color`. False keeps the
            color of every pixel that has one.
    """

    factor: float = 2.0
    blended: bool = False

    def __post_init__(self) -> None:
        if not self.factor > 1:
            raise ValueError(f"factor must be above 1, got {self.factor}")


# Below this alpha 8-bit files hold hardly any color (often black), and the color around it is the better truth
_COLOR_COUNTS = 4 / 255


class ClipSample(TypedDict):
    """An opaque clip and its truth; pixels float32 in [0, 1], `f` frames."""

    clip: Tensor  # f 3 h w, what a user brings: on the background, damaged
    foreground: Tensor  # f 3 h w, straight colors, bled into where alpha is (nearly) 0
    alpha: Tensor  # f 1 h w
    background: Tensor  # 3; the mean color of a background that is a picture
    condition: str  # what was done, as in "own_color+jpeg"
    color: NotRequired[Tensor]  # f 3 h w, straight and not padded; where `foreground` is blended


def sticker_floats(frames: Bytes) -> Floats:
    """Return `f h w 4` uint8 frames as floats in [0, 1]; raises ValueError for any other kind of array."""
    if frames.ndim != 4 or frames.shape[-1] != 4 or frames.dtype != np.uint8 or not frames.size:
        raise ValueError(f"frames are {frames.dtype} {frames.shape}; a transform takes uint8 of shape f h w 4")
    return frames.astype(np.float32) / np.float32(255)


def make_sample(
    frames: Floats,
    background: Floats,
    degradations: Sequence[Degradation],
    rng: np.random.Generator,
    condition: str,
    padding: ColorPadding | None = None,
) -> ClipSample:
    """Composite, damage, and set the truth beside it.

    Without degradations the clip equals `foreground * alpha + background * (1 - alpha)` rounded to 8 bits; with
    `color` in the place of `foreground` where that is blended.

    Args:
        frames: Straight RGBA `f h w 4` in [0, 1].
        background: `3` or `f h w 3` in [0, 1].
        degradations: All of these are applied, in this order.
        rng: Their randomness.
        condition: Name of what was done.
        padding: None for its defaults.
    """
    padding = padding or ColorPadding()
    truth = rearrange(torch.from_numpy(frames), "f h w c -> f c h w")
    color, alpha = truth[:, :3].contiguous(), truth[:, 3:].contiguous()  # f 3 h w, f 1 h w
    padded = pad_color(color, alpha, factor=padding.factor)
    foreground = padded if padding.blended else torch.where(alpha >= _COLOR_COUNTS, color, padded)
    behind = torch.from_numpy(background)
    flat = behind
    if behind.ndim > 1:
        behind, flat = rearrange(behind, "f h w c -> f c h w"), behind.mean((0, 1, 2))
    sample = ClipSample(
        clip=_damaged(composite(color if padding.blended else foreground, alpha, behind), degradations, rng),
        foreground=foreground,
        alpha=alpha,
        background=flat,
        condition=condition,
    )
    if padding.blended:
        sample["color"] = color
    return sample


def _damaged(opaque: Tensor, degradations: Sequence[Degradation], rng: np.random.Generator) -> Tensor:
    # Files have 8 bits
    clip = rearrange((opaque * 255 + 0.5).to(torch.uint8), "f c h w -> f h w c").contiguous().numpy()
    for degradation in degradations:
        clip = degradation(clip, rng)
    return rearrange(torch.from_numpy(np.array(clip)), "f h w c -> f c h w").contiguous().float() / 255


class StickerTransform:
    """Augment the sticker, choose a background, composite, damage; settings are drawn once per clip.

    Args:
        backgrounds: One is chosen by weight; None is `recipes.training_backgrounds()`.
        degradations: Each is applied by its own probability, in this order; None is `recipes.training_degradations()`.
        augmentations: Likewise, on the sticker before it is composited; None is `recipes.training_augmentations()`.
        clean: How often a clip gets no degradation at all, whatever their probabilities.
        padding: How the colors of clear pixels are filled in; None is `ColorPadding` with its defaults.

    An empty list turns a stage off (at least one background is needed).
    """

    def __init__(
        self,
        backgrounds: list[Background] | None = None,
        degradations: list[Degradation] | None = None,
        augmentations: list[Augmentation] | None = None,
        clean: float = 0.35,
        padding: ColorPadding | None = None,
    ) -> None:
        self.padding = padding
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
        return make_sample(sticker, background(sticker, rng), chosen, rng, condition, self.padding)


class ManyStyles(StickerTransform):
    """The transform for training on stickers of many styles, and on files of all kinds.

    Args:
        picture_share: How often the background is no flat color; the hint knows flat ones alone, so that the network
            has to do those by itself.
        clean: How often a clip gets no degradation at all.
        fade: Whether some stickers are half-clear as a whole. One picture does not tell such a sticker from an opaque
            one in paler colors.
    """

    def __init__(self, picture_share: float = 0.2, clean: float = 0.25, fade: bool = True) -> None:
        degradations = [
            Resize(probability=0.15),
            Enlarged(probability=0.1),
            Blur(probability=0.06),
            Noise(probability=0.08),
            Webp(probability=0.08),
            Jpeg(quality=(30, 95), probability=0.4),
            VideoCompression(probability=0.12),
            GifPalette(probability=0.2),
            OrderedDither(probability=0.06),
        ]
        augmentations = [one for one in training_augmentations() if fade or not isinstance(one, Fade)]
        super().__init__(wide_backgrounds(training_backgrounds(), picture_share), degradations, augmentations, clean)


@dataclass(frozen=True)
class EvalCondition:
    """A transform without chance: every part is always applied, with the same draws for every clip.

    Attributes:
        name: Column of the score table; the sample's `condition`.
        background: What the sticker is composited on.
        augmentations: Applied to the sticker, in this order.
        degradations: Applied to the opaque clip, in this order.
        padding: How the colors of clear pixels are filled in; None is `ColorPadding` with its defaults.
    """

    name: str
    background: Background
    augmentations: Sequence[Augmentation] = ()
    degradations: Sequence[Degradation] = ()
    padding: ColorPadding | None = None

    def __call__(self, frames: Bytes, generator: torch.Generator | None = None) -> ClipSample:
        """Transform `frames` (`f h w 4` uint8); `generator` is there for the data module's sake and not drawn from."""
        rng = np.random.default_rng(0)
        sticker = sticker_floats(frames)
        for augmentation in self.augmentations:
            sticker = augmentation(sticker, rng)
        background = self.background(sticker, rng)
        return make_sample(sticker, background, self.degradations, rng, self.name, self.padding)


def evaluation_conditions(
    round_trip: Callable[[Tensor], Tensor] | None = None, padding: ColorPadding | None = None
) -> tuple[EvalCondition, ...]:
    """Return the columns of the score table, in its order.

    Procedural glass is not here: it is another data set under the condition `white`.

    Args:
        round_trip: Encodes and decodes `f 3 h w` in [0, 1] by a VAE; without it there is no `vae_decoded`.
        padding: Of the color of the first, `white`; the others have the default.
    """
    white = FlatBackground((1.0, 1.0, 1.0), "white")
    conditions = [
        EvalCondition("white", white, padding=padding),
        EvalCondition("gray", FlatBackground((0.5, 0.5, 0.5), "gray")),
        EvalCondition("own_color", OwnColor()),
        EvalCondition("own_color_jpeg75", OwnColor(), degradations=(Jpeg((75, 75), full_color=0.0),)),
        EvalCondition("white_gif_palette", white, degradations=(GifPalette((64, 64), dither=1.0, shared=1.0),)),
    ]
    if round_trip is not None:
        conditions.append(EvalCondition("vae_decoded", white, degradations=(VaeRoundTrip(round_trip),)))
    faded = Fade((0.5, 0.5), over_time=0.0, across=0.0, probability=1.0)
    conditions.append(EvalCondition("faded", white, augmentations=(faded,)))
    conditions.append(EvalCondition("moving_background", MovingBackground()))
    return tuple(conditions)
