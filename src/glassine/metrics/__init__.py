"""Scores as torchmetrics classes; clips are `b f c h w` in [0, 1], and every score keeps one value a clip."""

from glassine.metrics.clip_metric import ClipMetric
from glassine.metrics.composite import CompositePSNR, CompositeSSIM
from glassine.metrics.conn import Conn
from glassine.metrics.dtssd import DtSSD
from glassine.metrics.flicker import Flicker
from glassine.metrics.grad import Grad
from glassine.metrics.hole_residue import HolesFilled, InteriorPunched
from glassine.metrics.mad import MAD
from glassine.metrics.matting_scores import MattingScores
from glassine.metrics.mse import MSE
from glassine.metrics.psnr import AlphaPSNR
from glassine.metrics.semi_transparent import SemiTransparentMAD
from glassine.metrics.ssim import AlphaSSIM

__all__ = [
    "MAD",
    "MSE",
    "AlphaPSNR",
    "AlphaSSIM",
    "ClipMetric",
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
]
