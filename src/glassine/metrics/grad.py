"""Gradient error of alpha: are its edges as sharp as the true ones?"""

import math

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional

from glassine.metrics.clip_metric import ClipMetric

SIGMA = 1.4
MIN_RANGE = 1 / 255


def _filters(sigma: float, epsilon: float = 1e-2) -> tuple[Tensor, Tensor]:
    """Return a Gaussian and its derivative, 1D of the same odd length, whose outer product has the norm 1."""
    # the radius at which the Gaussian falls to epsilon
    radius = math.ceil(sigma * math.sqrt(-2 * math.log(math.sqrt(2 * math.pi) * sigma * epsilon)))
    x = torch.arange(-radius, radius + 1, dtype=torch.float64)
    gaussian = torch.exp(-x.square() / (2 * sigma**2))
    derivative = x * gaussian
    # the norm of an outer product is the product of the norms
    return gaussian / gaussian.norm(), derivative / derivative.norm()


def _filtered(frames: Tensor, kernel: Tensor, dim: int) -> Tensor:
    """Correlate along one dimension, without padding.

    A sum of shifted frames rather than a convolution: mixed precision and TF32 cannot touch it, and it is faster here.
    """
    length = frames.shape[dim] - len(kernel) + 1
    total = torch.zeros_like(frames.narrow(dim, 0, length))
    for shift, weight in enumerate(kernel.tolist()):
        total.add_(frames.narrow(dim, shift, length), alpha=weight)
    return total


def _magnitude(frames: Tensor, sigma: float) -> Tensor:
    """Gradient magnitude of frames `n 1 h w`, borders replicated."""
    gaussian, derivative = _filters(sigma)
    padded = functional.pad(frames, (len(gaussian) // 2,) * 4, mode="replicate")
    slope_x = _filtered(_filtered(padded, gaussian, -2), derivative, -1)
    slope_y = _filtered(_filtered(padded, derivative, -2), gaussian, -1)
    return torch.hypot(slope_x, slope_y)  # n 1 h w


def _stretch(frames: Tensor) -> Tensor:
    """Stretch each frame `n 1 h w` to [0, 1]; a constant one becomes 0."""
    low, high = frames.amin(dim=(1, 2, 3), keepdim=True), frames.amax(dim=(1, 2, 3), keepdim=True)
    spread = high - low
    # without this guard rounding noise on an empty frame would be stretched into the strongest of edges
    return torch.where(spread < MIN_RANGE, 0.0, (frames - low) / spread.clamp(min=MIN_RANGE))


def grad(pred: Tensor, true: Tensor, sigma: float = SIGMA) -> Tensor:
    """Mean over frames of the sum over pixels of (|grad pred| - |grad true|)^2, / 1000.

    Gaussian-derivative filters of unit norm (sigma 1.4: 9x9), borders replicated. Each frame is first stretched to
    its own minimum and maximum, as the field's evaluation does: the score sees the edges' shape, not a faded alpha.
    A frame whose values span less than 1/255 counts as constant, without edges. The sum grows with the frame size, so
    compare at one size only.

    Args:
        pred: alpha `b f 1 h w` in [0, 1].
        true: the same shape.
        sigma: of the Gaussian, pixels.

    Returns:
        `b`, at least 0.
    """
    slopes = [_magnitude(_stretch(rearrange(clip, "b f c h w -> (b f) c h w")), sigma) for clip in (pred, true)]
    error = (slopes[0] - slopes[1]).square().sum(dim=(1, 2, 3))  # (b f)
    return rearrange(error, "(b f) -> b f", b=len(pred)).mean(dim=1) / 1000  # b


class Grad(ClipMetric):
    """Gradient error of alpha (Rhemann et al. 2009; Robust Video Matting, Lin et al. 2022, section 5).

    Args:
        sigma: of the Gaussian, pixels.
    """

    def __init__(self, sigma: float = SIGMA) -> None:
        super().__init__()
        self.sigma = sigma

    def score(self, pred: Tensor, true: Tensor) -> Tensor:
        """Return `grad` of each clip, `b`."""
        return grad(pred, true, self.sigma)
