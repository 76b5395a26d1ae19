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
    ManyStyles,
    StickerTransform,
    evaluation_conditions,
    make_sample,
    training_augmentations,
    training_backgrounds,
    training_degradations,
)
from glassine.data.transforms.codecs import Enlarged, OrderedDither, VideoCompression
from glassine.data.transforms.degradations import Blur, GifPalette, Jpeg, Noise, Resize, VaeRoundTrip, Webp
from glassine.data.transforms.pictures import Checkerboard, Flashing, Gradient, Scene, TwoColors
from glassine.data.transforms.restyling import FlatLook, LineArt, Recolor, Texture

__all__ = [
    "Augmentation",
    "Background",
    "Blur",
    "Checkerboard",
    "ClipSample",
    "ColorPadding",
    "CutBorder",
    "Degradation",
    "Enlarged",
    "EvalCondition",
    "Fade",
    "Flashing",
    "FlatBackground",
    "FlatLook",
    "Flip",
    "GifPalette",
    "Gradient",
    "Jpeg",
    "LineArt",
    "ManyStyles",
    "Move",
    "MovingBackground",
    "Noise",
    "OrderedDither",
    "OutlineColor",
    "OwnColor",
    "PunchHoles",
    "RandomColor",
    "Recolor",
    "Resize",
    "Scene",
    "Shadow",
    "StickerTransform",
    "Texture",
    "TwoColors",
    "VaeRoundTrip",
    "VideoCompression",
    "Webp",
    "evaluation_conditions",
    "main_color",
    "make_sample",
    "outline_color",
    "training_augmentations",
    "training_backgrounds",
    "training_degradations",
]
