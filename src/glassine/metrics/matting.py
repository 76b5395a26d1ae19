"""Gradient error of alpha: are its edges as sharp as the true ones?

TODO-DOC
Mean absolute difference of alpha.
---
Mean squared error of alpha.
---
Error on semi-transparent pixels: soft edges, glass, glow, shadows, fades.
---
Connectivity error of alpha: do parts hang together that should, and only those?
"""

import math

import cv2
import numpy as np
import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional

from glassine.metrics.base import VideoMetric


def mad(pred: Tensor, true: Tensor) -> Tensor:
    """Mean |pred - true| over the whole clip, x1000, as the video-matting field prints it.

    Args:
        pred: alpha `b f 1 h w` in [0, 1].
        true: the same shape.

    Returns:
        `b`, 0 to 1000.
    """
    return 1000 * (pred - true).abs().mean(dim=(1, 2, 3, 4))


class MAD(VideoMetric):
    """Mean absolute difference of alpha x1000 (Robust Video Matting, Lin et al. 2022, section 5); whole image."""

    def score(self, pred: Tensor, true: Tensor) -> Tensor:
        """Return `mad` of each clip, `b`."""
        return mad(pred, true)


def mse(pred: Tensor, true: Tensor) -> Tensor:
    """Mean (pred - true)^2 over the whole clip, x1000, as the video-matting field prints it.

    Args:
        pred: alpha `b f 1 h w` in [0, 1].
        true: the same shape.

    Returns:
        `b`, 0 to 1000.
    """
    return 1000 * (pred - true).square().mean(dim=(1, 2, 3, 4))


class MSE(VideoMetric):
    """Mean squared error of alpha x1000 (Robust Video Matting, Lin et al. 2022, section 5); whole image."""

    def score(self, pred: Tensor, true: Tensor) -> Tensor:
        """Return `mse` of each clip, `b`."""
        return mse(pred, true)


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


class SemiTransparentMAD(VideoMetric):
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


class Grad(VideoMetric):
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


STEPS = 10
TOLERANCE = 0.15


def _largest_component(mask: np.ndarray) -> np.ndarray:
    """Return the largest 4-connected component of `h w` bool, the first in reading order among equals."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=4)
    return labels == 1 + np.argmax(stats[1:, cv2.CC_STAT_AREA])


def _connected_level(overlap: np.ndarray) -> np.ndarray:
    """Return the level up to which each pixel hangs together with the main body, `h w` in [0, 1] by 0.1.

    `overlap` is the smaller of both alphas, so `overlap >= t` is the intersection of both sets above the threshold t.
    """
    level = np.zeros_like(overlap)
    rows, columns = (np.flatnonzero((overlap >= 1 / STEPS).any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return level
    # nothing reaches the first threshold outside this box
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    inside, level_inside = overlap[box], level[box]
    connected = np.ones(inside.shape, dtype=bool)
    last_size = -1
    for step in range(1, STEPS + 1):
        above = inside >= np.float64(step / STEPS)
        size = int(np.count_nonzero(above))
        if size == 0:
            break
        if size != last_size:  # the sets are nested: equal sizes mean the same set, as happens with hard alphas
            connected &= _largest_component(above)
            last_size = size
        level_inside[connected] = step / STEPS
    return level


def conn_frame(pred: np.ndarray, true: np.ndarray) -> float:
    """Connectivity error of one frame, sum over pixels / 1000; alphas `h w` float32 in [0, 1]."""
    level = _connected_level(np.minimum(pred, true))

    def phi(alpha: np.ndarray) -> np.ndarray:
        distance = alpha - level
        return 1 - distance * (distance >= TOLERANCE)

    return float(np.abs(phi(pred) - phi(true)).sum()) / 1000


def conn(pred: Tensor, true: Tensor) -> Tensor:
    """Mean over frames of the connectivity error, / 1000 (Rhemann et al. 2009, section 3.2, as evaluated in video).

    For the thresholds 0.1, 0.2, ... 1 the largest 4-connected component of the pixels at which both alphas reach
    the threshold is taken. A pixel's level is the last threshold up to which it belonged to all of them (0 for none).
    With d = alpha - level, phi = 1 - d where d >= 0.15, else 1; the error is the sum of |phi_pred - phi_true|.
    It grows with the frame size, so compare at one size only. Runs on the CPU wherever the clips are.

    Args:
        pred: alpha `b f 1 h w` in [0, 1].
        true: the same shape.

    Returns:
        `b`, at least 0.
    """
    frames = zip(pred.flatten(0, 2).cpu().numpy(), true.flatten(0, 2).cpu().numpy(), strict=True)  # (b f) h w
    errors = torch.tensor([conn_frame(*pair) for pair in frames], device=pred.device)
    return errors.view(len(pred), -1).mean(dim=1)  # b


class Conn(VideoMetric):
    """Connectivity error of alpha (Rhemann et al. 2009; Robust Video Matting, Lin et al. 2022, section 5)."""

    def score(self, pred: Tensor, true: Tensor) -> Tensor:
        """Return `conn` of each clip, `b`."""
        return conn(pred, true)
