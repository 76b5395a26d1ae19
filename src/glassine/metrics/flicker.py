"""Flicker: changes of the predicted alpha where the true one stands still."""

from torch import Tensor

from glassine.metrics.clip_metric import ClipMetric
from glassine.metrics.dtssd import temporal_error

STILL_THRESHOLD = 0.01


def flicker(pred: Tensor, true: Tensor, threshold: float = STILL_THRESHOLD) -> Tensor:
    """DtSSD x100 over those pixels only whose true alpha stands still.

    For each frame with a predecessor: the root of the mean of ((p_t - p_t-1) - (t_t - t_t-1))^2 over the pixels with
    |t_t - t_t-1| < threshold; then the mean over the frames that have such a pixel.

    Args:
        pred: alpha `b f 1 h w` in [0, 1].
        true: the same shape.
        threshold: below which the truth stands still; the default lets two 8-bit steps pass.

    Returns:
        `b`, 0 to 100 x (1 + threshold); NaN for a clip without a still pixel or with a single frame.
    """
    still = true.diff(dim=1).abs() < threshold  # b f-1 1 h w
    squared = (temporal_error(pred, true) * still).sum(dim=(2, 3, 4))  # b f-1
    error = (squared / still.sum(dim=(2, 3, 4))).sqrt()  # b f-1; NaN without a still pixel
    return 100 * error.nanmean(dim=1)  # b


class Flicker(ClipMetric):
    """DtSSD x100 where the true alpha stands still.

    Args:
        threshold: change of the true alpha between two frames below which a pixel stands still.
    """

    def __init__(self, threshold: float = STILL_THRESHOLD) -> None:
        super().__init__()
        self.threshold = threshold

    def score(self, pred: Tensor, true: Tensor) -> Tensor:
        """Return `flicker` of each clip, `b`."""
        return flicker(pred, true, self.threshold)
