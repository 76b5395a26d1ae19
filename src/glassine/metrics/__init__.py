"""Scores as torchmetrics classes; clips are `b f c h w` in [0, 1], and every score keeps one value per clip."""

from glassine.metrics.base import VideoMetric
from glassine.metrics.image import AlphaPSNR, AlphaSSIM, CompositePSNR, CompositeSSIM
from glassine.metrics.matting import MAD, MSE, Conn, Grad, SemiTransparentMAD
from glassine.metrics.matting_areas import HolesFilled, InteriorPunched
from glassine.metrics.matting_scores import MattingScores
from glassine.metrics.temporal import DtSSD, Flicker

__all__ = [
    "MAD",
    "MSE",
    "AlphaPSNR",
    "AlphaSSIM",
    "CompositePSNR",
    "CompositeSSIM",
    "Conn",
    "DtSSD",
    "Flicker",
    "Grad",
    "HolesFilled",
    "InteriorPunched",
    "MattingScores",
    "SemiTransparentMAD",
    "VideoMetric",
]
