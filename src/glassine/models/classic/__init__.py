"""Methods without learning: the rows that a trained network has to beat."""

from .colour_projection import ColourProjection, for_damaged_files
from .flood_fill import FloodFill
from .grab_cut import GrabCut, true_boxes
from .threshold import Threshold

__all__ = ["ColourProjection", "FloodFill", "GrabCut", "Threshold", "for_damaged_files", "true_boxes"]
