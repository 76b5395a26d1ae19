"""GrabCut with the true bounding box: what an interactive tool reaches when somebody draws the box."""

import cv2
import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn

from .outside import clip_pixels

Box = tuple[int, int, int, int]


class GrabCut(nn.Module):
    """Rother, Kolmogorov and Blake, "GrabCut" (SIGGRAPH 2004), as OpenCV has it, frame by frame; alpha is 0 or 1.

    Args:
        iterations: Of its alternation between colour models and graph cut.
    """

    def __init__(self, iterations: int = 4) -> None:
        super().__init__()
        self.iterations = iterations

    def forward(self, clip: Tensor, boxes: Tensor) -> Tensor:
        """Find alpha.

        Args:
            clip: `b f 3 h w` in [0, 1].
            boxes: `b f 4` integers: left, top, right, bottom in pixels, the last two exclusive; see `true_boxes`.
                A box without area gives alpha 0.

        Returns:
            Alpha `b f 1 h w`, 0 or 1.
        """
        frames, _ = clip_pixels(clip, clip.new_zeros(len(clip), 3))
        corners = rearrange(boxes.cpu().int(), "b f n -> (b f) n").tolist()
        planes = [
            self._cut((frame * 255 + 0.5).astype(np.uint8), box) for frame, box in zip(frames, corners, strict=True)
        ]
        return rearrange(torch.from_numpy(np.stack(planes)).to(clip), "(b f) h w -> b f 1 h w", b=len(clip))

    def _cut(self, frame: np.ndarray, box: Box) -> np.ndarray:
        left, top, right, bottom = box
        mask = np.zeros(frame.shape[:2], np.uint8)
        if right <= left or bottom <= top:
            return mask
        mask[top:bottom, left:right] = cv2.GC_PR_FGD
        if mask.all():
            return np.ones_like(mask)  # a box that leaves no background outside says no more than that
        cv2.setRNGSeed(0)  # its colour models start from random samples
        cv2.grabCut(
            frame, mask, (0, 0, 0, 0), np.zeros((1, 65)), np.zeros((1, 65)), self.iterations, cv2.GC_INIT_WITH_MASK
        )
        return ((mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD)).astype(np.uint8)


def true_boxes(alpha: Tensor, threshold: float = 0.02) -> Tensor:
    """Return the box `b f 4` (left, top, right, bottom, the last two exclusive) around the true `alpha` `b f 1 h w`.

    Pixels count from `threshold` up; a frame without any gets 0, 0, 0, 0.
    """
    visible = alpha[:, :, 0] > threshold  # b f h w
    return torch.stack(
        [
            _first(visible.any(dim=-2)),
            _first(visible.any(dim=-1)),
            _last(visible.any(dim=-2)),
            _last(visible.any(dim=-1)),
        ],
        dim=-1,
    )


def _first(line: Tensor) -> Tensor:
    return line.int().argmax(dim=-1)


def _last(line: Tensor) -> Tensor:
    return torch.where(line.any(dim=-1), line.shape[-1] - line.int().flip(-1).argmax(dim=-1), 0)
