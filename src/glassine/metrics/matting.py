"""Errors of a predicted alpha against the target: MAD, MSE, gradient, connectivity and soft pixels.

Each score is a function of validated clips `b f 1 h w` in [0, 1] that returns one value per clip, and a torchmetrics
class that averages it. MAD, MSE, gradient and connectivity have the units used in video matting (Robust Video Matting,
Lin et al. 2022, section 5; gradient and connectivity after Rhemann et al. 2009). Ours is the error on semi-transparent
pixels (soft edges, glass, shadows, fades). Errors of large areas are in `glassine.metrics.matting_areas`.
"""

import math

import cv2
import numpy as np
import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional

from glassine.metrics.base import VideoMetric


def mad(preds: Tensor, target: Tensor) -> Tensor:
    """Mean |preds - true| over the whole clip, x1000 as usual in video matting.

    Args:
        preds: alpha `b f 1 h w` in [0, 1].
        target: the same shape.

    Returns:
        `b`, 0 to 1000.
    """
    return 1000 * (preds - target).abs().mean(dim=(1, 2, 3, 4))


class MAD(VideoMetric):
    """Mean absolute difference of alpha x1000 (Robust Video Matting, Lin et al. 2022, section 5); whole image."""

    def score(self, preds: Tensor, target: Tensor) -> Tensor:
        """Return `mad` of each clip, `b`."""
        return mad(preds, target)


def mse(preds: Tensor, target: Tensor) -> Tensor:
    """Mean (preds - true)^2 over the whole clip, x1000 as usual in video matting.

    Args:
        preds: alpha `b f 1 h w` in [0, 1].
        target: the same shape.

    Returns:
        `b`, 0 to 1000.
    """
    return 1000 * (preds - target).square().mean(dim=(1, 2, 3, 4))


class MSE(VideoMetric):
    """Mean squared error of alpha x1000 (Robust Video Matting, Lin et al. 2022, section 5); whole image."""

    def score(self, preds: Tensor, target: Tensor) -> Tensor:
        """Return `mse` of each clip, `b`."""
        return mse(preds, target)


SEMI_TRANSPARENT = (0.05, 0.95)


def semi_transparent_mad(preds: Tensor, target: Tensor, low: float = 0.05, high: float = 0.95) -> Tensor:
    """Mean |preds - true| x1000 over the clip's pixels with low < true alpha < high.

    Args:
        preds: alpha `b f 1 h w` in [0, 1].
        target: the same shape.
        low: true alphas up to this value are transparent.
        high: true alphas from this value on are opaque.

    Returns:
        `b`, 0 to 1000; NaN for a clip without such pixels.
    """
    inside = (target > low) & (target < high)  # b f 1 h w
    total = ((preds - target).abs() * inside).sum(dim=(1, 2, 3, 4))  # b
    return 1000 * total / inside.sum(dim=(1, 2, 3, 4))


class SemiTransparentMAD(VideoMetric):
    """Mean absolute difference of alpha x1000 where the true alpha is neither transparent nor opaque.

    Args:
        low: true alphas up to this value are transparent.
        high: true alphas from this value on are opaque.
    """

    def __init__(self, low: float = SEMI_TRANSPARENT[0], high: float = SEMI_TRANSPARENT[1]) -> None:
        super().__init__()
        self.low, self.high = low, high

    def score(self, preds: Tensor, target: Tensor) -> Tensor:
        """Return `semi_transparent_mad` of each clip, `b`."""
        return semi_transparent_mad(preds, target, self.low, self.high)


SIGMA = 1.4
MIN_RANGE = 1 / 255


def _filters(sigma: float, epsilon: float = 1e-2) -> tuple[Tensor, Tensor]:
    """Return a Gaussian and its derivative as 1D filters of the same odd length, whose outer product has norm 1."""
    # radius at which the Gaussian falls to epsilon
    radius = math.ceil(sigma * math.sqrt(-2 * math.log(math.sqrt(2 * math.pi) * sigma * epsilon)))
    x = torch.arange(-radius, radius + 1, dtype=torch.float64)
    gaussian = torch.exp(-x.square() / (2 * sigma**2))
    derivative = x * gaussian
    # the norm of an outer product is the product of the norms
    return gaussian / gaussian.norm(), derivative / derivative.norm()


def _filtered(frames: Tensor, kernel: Tensor, dim: int) -> Tensor:
    """Correlate along one dimension, without padding.

    A sum of shifted frames is not affected by mixed precision and TF32, unlike a convolution, and is faster here.
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
    # otherwise rounding noise in a constant frame would be stretched to strong edges
    return torch.where(spread < MIN_RANGE, 0.0, (frames - low) / spread.clamp(min=MIN_RANGE))


def grad(preds: Tensor, target: Tensor, sigma: float = SIGMA) -> Tensor:
    """Mean over frames of the sum over pixels of (|grad preds| - |grad target|)^2, / 1000.

    Uses Gaussian-derivative filters of unit norm (9x9 for sigma 1.4) with replicated borders. As in published
    evaluations, each frame is first stretched to the range [0, 1], so that the score measures the shape of edges and
    not a scaled alpha. A frame whose values span less than 1/255 has no edges. The sum grows with the frame size, so
    only compare values for the same size.

    Args:
        preds: alpha `b f 1 h w` in [0, 1].
        target: the same shape.
        sigma: standard deviation of the Gaussian in pixels.

    Returns:
        `b`, at least 0.
    """
    slopes = [_magnitude(_stretch(rearrange(clip, "b f c h w -> (b f) c h w")), sigma) for clip in (preds, target)]
    error = (slopes[0] - slopes[1]).square().sum(dim=(1, 2, 3))  # (b f)
    return rearrange(error, "(b f) -> b f", b=len(preds)).mean(dim=1) / 1000  # b


class Grad(VideoMetric):
    """Gradient error of alpha (Rhemann et al. 2009; Robust Video Matting, Lin et al. 2022, section 5).

    Args:
        sigma: standard deviation of the Gaussian in pixels.
    """

    def __init__(self, sigma: float = SIGMA) -> None:
        super().__init__()
        self.sigma = sigma

    def score(self, preds: Tensor, target: Tensor) -> Tensor:
        """Return `grad` of each clip, `b`."""
        return grad(preds, target, self.sigma)


STEPS = 10
TOLERANCE = 0.15


def _largest_component(mask: np.ndarray) -> np.ndarray:
    """Return the largest 4-connected component of `h w` bool; of equal ones, the first in row order."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=4)
    return labels == 1 + np.argmax(stats[1:, cv2.CC_STAT_AREA])


def _connected_level(overlap: np.ndarray) -> np.ndarray:
    """Return the highest threshold at which each pixel is still connected to the main body, `h w` in [0, 1] by 0.1.

    `overlap` is the minimum of both alphas, so `overlap >= t` is the intersection of both thresholded alphas.
    """
    level = np.zeros_like(overlap)
    rows, columns = (np.flatnonzero((overlap >= 1 / STEPS).any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return level
    # outside this box, no pixel reaches the first threshold
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    inside, level_inside = overlap[box], level[box]
    connected = np.ones(inside.shape, dtype=bool)
    last_size = -1
    for step in range(1, STEPS + 1):
        above = inside >= np.float64(step / STEPS)
        size = int(np.count_nonzero(above))
        if size == 0:
            break
        if size != last_size:  # the sets are nested, so equal sizes mean equal sets, which is common for hard alphas
            connected &= _largest_component(above)
            last_size = size
        level_inside[connected] = step / STEPS
    return level


def conn_frame(preds: np.ndarray, target: np.ndarray) -> float:
    """Connectivity error of one frame, sum over pixels / 1000; alphas `h w` float32 in [0, 1]."""
    level = _connected_level(np.minimum(preds, target))

    def phi(alpha: np.ndarray) -> np.ndarray:
        distance = alpha - level
        return 1 - distance * (distance >= TOLERANCE)

    return float(np.abs(phi(preds) - phi(target)).sum()) / 1000


def conn(preds: Tensor, target: Tensor) -> Tensor:
    """Mean over frames of the connectivity error, / 1000 (Rhemann et al. 2009, section 3.2, as in video matting).

    For each threshold 0.1, 0.2, ... 1, take the largest 4-connected component of the pixels where both alphas reach the
    threshold. A pixel's level is the last threshold up to which it belongs to all these components (0 for none). With
    d = alpha - level, phi = 1 - d where d >= 0.15, else 1; the error is the sum of |phi_preds - phi_target|. It grows
    with the frame size, so only compare values for the same size. Computed on the CPU for any device.

    Args:
        preds: alpha `b f 1 h w` in [0, 1].
        target: the same shape.

    Returns:
        `b`, at least 0.
    """
    frames = zip(preds.flatten(0, 2).cpu().numpy(), target.flatten(0, 2).cpu().numpy(), strict=True)  # (b f) h w
    errors = torch.tensor([conn_frame(*pair) for pair in frames], device=preds.device)
    return errors.view(len(preds), -1).mean(dim=1)  # b


class Conn(VideoMetric):
    """Connectivity error of alpha (Rhemann et al. 2009; Robust Video Matting, Lin et al. 2022, section 5)."""

    def score(self, preds: Tensor, target: Tensor) -> Tensor:
        """Return `conn` of each clip, `b`."""
        return conn(preds, target)
