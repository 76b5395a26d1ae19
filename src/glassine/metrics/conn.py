"""Connectivity error of alpha: do parts hang together that should, and only those?"""

import cv2
import numpy as np
import torch
from torch import Tensor

from glassine.metrics.clip_metric import ClipMetric

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


class Conn(ClipMetric):
    """Connectivity error of alpha (Rhemann et al. 2009; Robust Video Matting, Lin et al. 2022, section 5)."""

    def score(self, pred: Tensor, true: Tensor) -> Tensor:
        """Return `conn` of each clip, `b`."""
        return conn(pred, true)
