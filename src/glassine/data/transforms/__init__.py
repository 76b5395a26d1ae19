"""From sticker frames to training samples: augmentation, compositing, degradation."""

from glassine.data.transforms.augmentations import CutBorder, Fade, Flip, Move, PunchHoles, Shadow
from glassine.data.transforms.backgrounds import (
    FlatBackground,
    MovingBackground,
    OutlineColor,
    OwnColor,
    RandomColor,
)
from glassine.data.transforms.base import Augmentation, Background, Degradation, main_color, outline_color
from glassine.data.transforms.clip_sample import (
    ClipSample,
    ColorPadding,
    EvalCondition,
    StickerTransform,
    evaluation_conditions,
    make_sample,
    training_augmentations,
    training_backgrounds,
    training_degradations,
)
from glassine.data.transforms.degradations import Blur, GifPalette, Jpeg, Noise, Resize, VaeRoundTrip, Webp
from glassine.data.transforms.restyling import FlatLook, LineArt, Recolor, Texture

__all__ = [
    "Augmentation",
    "Background",
    "Blur",
    "ClipSample",
    "ColorPadding",
    "CutBorder",
    "Degradation",
    "EvalCondition",
    "Fade",
    "FlatBackground",
    "FlatLook",
    "Flip",
    "GifPalette",
    "Jpeg",
    "LineArt",
    "Move",
    "MovingBackground",
    "Noise",
    "OutlineColor",
    "OwnColor",
    "PunchHoles",
    "RandomColor",
    "Recolor",
    "Resize",
    "Shadow",
    "StickerTransform",
    "Texture",
    "VaeRoundTrip",
    "Webp",
    "evaluation_conditions",
    "main_color",
    "make_sample",
    "outline_color",
    "training_augmentations",
    "training_backgrounds",
    "training_degradations",
]
