"""Our own seeded sticker renderer: wide variety, exact alpha, captions in English and Chinese."""

from glassine.data.sources.procedural.scene import FAMILIES
from glassine.data.sources.procedural.stickers import ProceduralStickers

__all__ = ["FAMILIES", "ProceduralStickers"]
