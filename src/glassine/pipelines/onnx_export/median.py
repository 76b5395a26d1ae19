"""The median filter for ONNX, as minima and maxima of shifted pictures."""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from glassine.pipelines.onnx_export.nodes import DOMAIN, Nodes

NAME = "MedianFilter"


def median_filter(pictures: Tensor, width: int) -> Tensor:
    """The median over `width` x `width` pixels (3 or 5) of `n 3 h w`; beyond the edge lie the edge's pixels.

    In an export it becomes a node `NAME`, which `write_median_filter` explains to ONNX; else OpenCV does it.
    """
    if torch.compiler.is_exporting():
        name, kind, shape = f"{DOMAIN}::{NAME}", pictures.dtype, pictures.shape
        return torch.onnx.ops.symbolic(name, (pictures,), {"width": width}, dtype=kind, shape=shape, version=1)
    planes = rearrange(pictures, "n c h w -> n h w c").contiguous().numpy()
    calm = torch.from_numpy(np.stack([cv2.medianBlur(plane, width) for plane in planes]))
    return rearrange(calm, "n h w c -> n c h w")


def write_median_filter(nodes: Nodes, pictures: str, height: int, length: int, width: int) -> str:
    """Write `median_filter` for pictures of one size, `length` pixels wide.

    Columns are sorted once for all windows that share them, then each window's rows. After that a value has all those
    above and to the left of it below it, so most cannot be the median; the few that can are sorted (those dropped on
    either side are as many).
    """
    half = width // 2
    pads = nodes.constant([0, 0, half, half] * 2)
    padded = nodes("Pad", [pictures, pads], {"mode": "edge"})
    columns = _ordered(nodes, [nodes.slice(padded, 2, i, height) for i in range(width)])
    rows = [_ordered(nodes, [nodes.slice(column, 3, j, length) for j in range(width)]) for column in columns]
    most = width * width // 2 + 1
    possible = [
        value
        for i, row in enumerate(rows)
        for j, value in enumerate(row)
        if (i + 1) * (j + 1) <= most and (width - i) * (width - j) <= most
    ]
    return _ordered(nodes, possible)[len(possible) // 2]


def _ordered(nodes: Nodes, values: Sequence[str]) -> list[str]:
    """Sort pixel by pixel, the least first; what of the result is not used can be dropped later."""
    result = list(values)
    for low, high in exchanges(len(result)):
        pair = [result[low], result[high]]
        result[low], result[high] = nodes("Min", pair), nodes("Max", pair)
    return result


def exchanges(count: int) -> Iterator[tuple[int, int]]:
    """Pairs to put in order, one after the other, to sort `count` values.

    Batcher's odd-even merge sort ("Sorting networks and their applications", AFIPS 1968) for any count.
    """
    size = 1
    while size < count:
        distance = size
        while distance:
            for start in range(distance % size, count - distance, 2 * distance):
                for low in range(start, min(start + distance, count - distance)):
                    if low // (2 * size) == (low + distance) // (2 * size):
                        yield low, low + distance
            distance //= 2
        size *= 2
