"""Growing masks by OpenCV's and our structuring elements, in operations that ONNX has for integers."""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Kernel = NDArray[np.uint8]


def grown(mask: Tensor, kernel: Kernel) -> Tensor:
    """A mask `n h w` (integers, 0 and 1) where the kernel, laid on some pixel of it, covers a pixel.

    `kernel` is `k k` of 0 and 1, k odd; each row is one run around the middle, and none is empty. Beyond the border is
    nothing, so eroding by `1 - grown(1 - mask, kernel)` takes all there for part of the mask.
    """
    radius = len(kernel) // 2
    wide = [mask]  # grown to both sides by 0, 1, 2, ... pixels
    for i in range(1, radius + 1):
        wide.append(wide[-1] | moved(mask, 0, i) | moved(mask, 0, -i))
    lengths = (kernel.sum(axis=1) // 2).tolist()
    result = wide[lengths[radius]]
    for i in range(1, radius + 1):
        row = wide[lengths[radius + i]]
        result = result | moved(row, i, 0) | moved(row, -i, 0)
    return result


def moved(mask: Tensor, down: int, right: int) -> Tensor:
    """The last two axes' content, moved; zeros come in."""
    return torch.nn.functional.pad(mask, (right, -right, down, -down))


def disc(radius: int) -> Kernel:
    """Of the pixels no further than `radius` from the middle, as `ColourProjection` has it."""
    squares = np.square(np.arange(-radius, radius + 1))
    return (np.add.outer(squares, squares) <= radius**2).astype(np.uint8)


def ellipse(radius: int) -> Kernel:
    """OpenCV's; of radius 0 a single pixel."""
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)), np.uint8)
