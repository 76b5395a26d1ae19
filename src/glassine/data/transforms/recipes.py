"""The shipped lists of parts that `StickerTransform` uses when it is given none."""

from .augmentations import CutBorder, Fade, FlatLook, Flip, LineArt, Move, PunchHoles, Recolour, Shadow, Texture
from .backgrounds import FlatBackground, OutlineColour, OwnColour, RandomColour
from .base import Augmentation, Background, Degradation
from .degradations import Blur, GifPalette, Jpeg, Noise, Resize, Webp


def training_backgrounds() -> list[Background]:
    """White and gray, as most stickers come, are a third; the sticker's own colours, the hard ones, nearly half."""
    return [
        FlatBackground((1.0, 1.0, 1.0), "white", weight=0.24),
        FlatBackground((0.5, 0.5, 0.5), "gray", weight=0.12),
        FlatBackground((0.0, 0.0, 0.0), "black", weight=0.06),
        RandomColour(weight=0.13),
        OwnColour(weight=0.27),
        OwnColour(weight=0.06, spread=0.08),
        OutlineColour(weight=0.12, spread=0.03),
    ]


def training_augmentations() -> list[Augmentation]:
    """Style first, then what lies around the sticker, then where it stands, and fading last."""
    return [
        Flip(),
        Recolour(),
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
