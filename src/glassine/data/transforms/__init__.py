"""From sticker frames to training samples: augmentation, compositing, degradation."""

from .augmentations import CutBorder, Fade, FlatLook, Flip, LineArt, Move, PunchHoles, Recolour, Shadow, Texture
from .backgrounds import FlatBackground, OutlineColour, OwnColour, RandomColour
from .base import Augmentation, Background, Degradation
from .degradations import Blur, GifPalette, Jpeg, Noise, Resize, VaeRoundTrip, Webp
from .evaluation import EvalCondition, evaluation_conditions
from .main_colour import main_colour, outline_colour
from .moving_background import MovingBackground
from .recipes import training_augmentations, training_backgrounds, training_degradations
from .sample import ClipSample, make_sample
from .sticker_transform import StickerTransform

__all__ = [
    "Augmentation",
    "Background",
    "Blur",
    "ClipSample",
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
    "OutlineColour",
    "OwnColour",
    "PunchHoles",
    "RandomColour",
    "Recolour",
    "Resize",
    "Shadow",
    "StickerTransform",
    "Texture",
    "VaeRoundTrip",
    "Webp",
    "evaluation_conditions",
    "main_colour",
    "make_sample",
    "outline_colour",
    "training_augmentations",
    "training_backgrounds",
    "training_degradations",
]
