"""Temporal coherence of alpha: does it change from frame to frame as the truth does?"""

from torch import Tensor

from glassine.metrics.clip_metric import ClipMetric


def temporal_error(pred: Tensor, true: Tensor) -> Tensor:
    """Squared difference of the changes between neighbour frames, `b f c h w` -> `b f-1 c h w`."""
    return (pred.diff(dim=1) - true.diff(dim=1)).square()


def dtssd(pred: Tensor, true: Tensor, skip_first: bool = True) -> Tensor:
    """Mean over frames of sqrt(mean over pixels of ((p_t - p_t-1) - (t_t - t_t-1))^2), x100.

    Args:
        pred: alpha `b f 1 h w` in [0, 1].
        true: the same shape.
        skip_first: average over the f-1 frames that have a predecessor. False also counts frame 0 as 0, as the
            field's published evaluation does; a clip of 8 frames then reads 7/8 of its true value.

    Returns:
        `b`, 0 to 200; NaN for clips of a single frame if `skip_first`, else 0.
    """
    error = 100 * temporal_error(pred, true).mean(dim=(2, 3, 4)).sqrt()  # b f-1
    frames = error.shape[1] if skip_first else error.shape[1] + 1
    return error.sum(dim=1) / frames  # b; 0 / 0 is NaN


class DtSSD(ClipMetric):
    """dtSSD of alpha x100 (Erofeev et al. 2015; Robust Video Matting, Lin et al. 2022, section 5).

    Args:
        skip_first: do not count frame 0, which has no predecessor, as a perfect one.
    """

    def __init__(self, skip_first: bool = True) -> None:
        super().__init__()
        self.skip_first = skip_first

    def score(self, pred: Tensor, true: Tensor) -> Tensor:
        """Return `dtssd` of each clip, `b`."""
        return dtssd(pred, true, self.skip_first)
