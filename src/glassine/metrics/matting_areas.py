"""Errors of large areas of alpha (ours): target holes that the prediction fills, and solid interior that it removes.

As in `glassine.metrics.matting`, each is a function of validated clips `b f 1 h w` in [0, 1] that returns one value per
clip, and a torchmetrics class that averages it.
"""

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from glassine.metrics.base import VideoMetric


def enclosed_holes(alpha: np.ndarray, transparent: float = 0.05, min_area: int = 16) -> np.ndarray:
    """Return the mask `h w` bool of enclosed transparent regions.

    A hole is a 4-connected region of at least `min_area` pixels with alpha < `transparent` that does not touch the
    frame's border.
    """
    empty = (alpha < transparent).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(empty, connectivity=4)
    left, top, width, height, area = stats.T
    enclosed = (left > 0) & (top > 0) & (left + width < alpha.shape[1]) & (top + height < alpha.shape[0])
    enclosed &= area >= min_area
    enclosed[0] = False  # label 0 is everything that is not transparent
    return enclosed[labels] if enclosed.any() else np.zeros(alpha.shape, dtype=bool)


def holes_filled(
    preds: Tensor, target: Tensor, transparent: float = 0.05, min_area: int = 16, filled: float = 0.5
) -> Tensor:
    """Share of the pixels of a clip's true holes (`enclosed_holes`, frame by frame) with predicted alpha >= `filled`.

    Args:
        preds: alpha `b f 1 h w` in [0, 1].
        target: the same shape.
        transparent: true alphas below this value are transparent.
        min_area: smaller regions, such as gaps of a few pixels in soft edges, are not holes.
        filled: predicted alphas from this value on fill the hole.

    Returns:
        `b`, 0 to 1; NaN for a clip without a hole.
    """
    frames = target.flatten(0, 2).cpu().numpy()  # (b f) h w
    holes = np.stack([enclosed_holes(frame, transparent, min_area) for frame in frames])
    hole = torch.from_numpy(holes).to(target.device).view(target.shape)  # b f 1 h w
    return ((preds >= filled) & hole).sum(dim=(1, 2, 3, 4)) / hole.sum(dim=(1, 2, 3, 4))


def interior_punched(
    preds: Tensor, target: Tensor, solid: float = 0.95, margin: int = 3, punched: float = 0.5
) -> Tensor:
    """Share of the pixels of a clip's solid interior with predicted alpha < `punched`.

    The interior is the set of pixels with true alpha > `solid`, eroded by a square of 2 `margin` + 1 pixels, so that
    edges may be off by `margin` pixels. There is no erosion at the frame's border.

    Args:
        preds: alpha `b f 1 h w` in [0, 1].
        target: the same shape.
        solid: true alphas above this value are solid.
        margin: width of the erosion in pixels.
        punched: predicted alphas below this value are transparent.

    Returns:
        `b`, 0 to 1; NaN for a clip without an interior.
    """
    outside = (target <= solid).flatten(0, 1).float()  # (b f) 1 h w
    # erosion as dilation of the outside; the square is separable
    size = 2 * margin + 1
    outside = functional.max_pool2d(outside, (1, size), stride=1, padding=(0, margin))
    outside = functional.max_pool2d(outside, (size, 1), stride=1, padding=(margin, 0))
    interior = (outside == 0).view(target.shape)  # b f 1 h w
    return ((preds < punched) & interior).sum(dim=(1, 2, 3, 4)) / interior.sum(dim=(1, 2, 3, 4))


class HolesFilled(VideoMetric):
    """Mean over stickers of `holes_filled`: the share of true holes that the prediction fills in.

    Args:
        transparent: true alphas below this value are transparent.
        min_area: minimum number of pixels of a hole.
        filled: predicted alphas from this value on fill the hole.
    """

    def __init__(self, transparent: float = 0.05, min_area: int = 16, filled: float = 0.5) -> None:
        super().__init__()
        self.transparent, self.min_area, self.filled = transparent, min_area, filled

    def score(self, preds: Tensor, target: Tensor) -> Tensor:
        """Return `holes_filled` of each clip, `b`."""
        return holes_filled(preds, target, self.transparent, self.min_area, self.filled)


class InteriorPunched(VideoMetric):
    """Mean over stickers of `interior_punched`: the share of solid interior that the prediction removes.

    Args:
        solid: true alphas above this value are solid.
        margin: width of the erosion in pixels.
        punched: predicted alphas below this value are transparent.
    """

    def __init__(self, solid: float = 0.95, margin: int = 3, punched: float = 0.5) -> None:
        super().__init__()
        self.solid, self.margin, self.punched = solid, margin, punched

    def score(self, preds: Tensor, target: Tensor) -> Tensor:
        """Return `interior_punched` of each clip, `b`."""
        return interior_punched(preds, target, self.solid, self.margin, self.punched)
