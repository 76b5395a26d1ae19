"""Mean squared error of alpha."""

from torch import Tensor

from glassine.metrics.clip_metric import ClipMetric


def mse(pred: Tensor, true: Tensor) -> Tensor:
    """Mean (pred - true)^2 over the whole clip, x1000, as the video-matting field prints it.

    Args:
        pred: alpha `b f 1 h w` in [0, 1].
        true: the same shape.

    Returns:
        `b`, 0 to 1000.
    """
    return 1000 * (pred - true).square().mean(dim=(1, 2, 3, 4))


class MSE(ClipMetric):
    """Mean squared error of alpha x1000 (Robust Video Matting, Lin et al. 2022, section 5); whole image."""

    def score(self, pred: Tensor, true: Tensor) -> Tensor:
        """Return `mse` of each clip, `b`."""
        return mse(pred, true)
