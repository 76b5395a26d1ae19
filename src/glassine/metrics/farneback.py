"""Optical flow without a network: what stands in for RAFT where its weights are not at hand."""

import cv2
import numpy as np
import torch
from torch import Tensor

# of red, green and blue in luma (ITU-R BT.601)
LUMA = (0.299, 0.587, 0.114)


def farneback_flow(first: Tensor, second: Tensor) -> Tensor:
    """Flow by polynomial expansion (Farnebäck 2003), as OpenCV computes it.

    It sees brightness alone, in 8 bits: a thing as bright as its background does not move for it. Patterns that reach
    the border seem to move there by parts of a pixel; a sticker with room around it does not.

    Args:
        first: frames `n 3 h w` in [0, 1].
        second: the frames after them, of the same shape.

    Returns:
        Pixels `n 2 h w`, x first.
    """
    pairs = zip(luma(first), luma(second), strict=True)
    flows = [flow_between(one, other) for one, other in pairs]  # h w 2 each
    return torch.from_numpy(np.stack(flows)).movedim(-1, 1).to(first)


def flow_between(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Pixels `h w 2`, x first, from one picture `h w` uint8 to the other."""
    nothing = np.zeros((*first.shape, 2), np.float32)
    pyramid, window, rounds, neighbourhood, sigma, flags = (0.5, 3), 15, 3, 5, 1.2, 0
    return cv2.calcOpticalFlowFarneback(first, second, nothing, *pyramid, window, rounds, neighbourhood, sigma, flags)


def luma(frames: Tensor) -> np.ndarray:
    """`n 3 h w` in [0, 1] to `n h w` uint8."""
    weights = frames.new_tensor(LUMA).view(3, 1, 1)
    return ((frames * weights).sum(1) * 255).round().byte().cpu().numpy()
