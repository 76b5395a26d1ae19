"""Changes of the sticker itself, so that a network meets styles that its data does not have."""

from .border import CutBorder
from .fade import Fade
from .flat_look import FlatLook
from .geometry import Flip, Move
from .holes import PunchHoles
from .line_art import LineArt
from .recolour import Recolour
from .shadow import Shadow
from .texture import Texture

__all__ = ["CutBorder", "Fade", "FlatLook", "Flip", "LineArt", "Move", "PunchHoles", "Recolour", "Shadow", "Texture"]
