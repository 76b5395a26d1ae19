"""Error on semi-transparent pixels: soft edges, glass, glow, shadows, fades."""

from torch import Tensor

from glassine.metrics.clip_metric import ClipMetric

SEMI_TRANSPARENT = (0.05, 0.95)


def semi_transparent_mad(pred: Tensor, true: Tensor, low: float = 0.05, high: float = 0.95) -> Tensor:
    """Mean |pred - true| x1000 over the clip's pixels with low < true alpha < high.

    Args:
        pred: alpha `b f 1 h w` in [0, 1].
        true: the same shape.
        low: true alphas up to this are transparent.
        high: true alphas from this on are opaque.

    Returns:
        `b`, 0 to 1000; NaN for a clip without such a pixel.
    """
    inside = (true > low) & (true < high)  # b f 1 h w
    total = ((pred - true).abs() * inside).sum(dim=(1, 2, 3, 4))  # b
    return 1000 * total / inside.sum(dim=(1, 2, 3, 4))


class SemiTransparentMAD(ClipMetric):
    """Mean absolute difference of alpha x1000 where the true alpha is neither transparent nor opaque.

    Args:
        low: true alphas up to this are transparent.
        high: true alphas from this on are opaque.
    """

    def __init__(self, low: float = SEMI_TRANSPARENT[0], high: float = SEMI_TRANSPARENT[1]) -> None:
        super().__init__()
        self.low, self.high = low, high

    def score(self, pred: Tensor, true: Tensor) -> Tensor:
        """Return `semi_transparent_mad` of each clip, `b`."""
        return semi_transparent_mad(pred, true, self.low, self.high)
