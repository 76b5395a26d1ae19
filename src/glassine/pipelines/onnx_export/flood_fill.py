"""Flood fill from the border for ONNX: many planes at once, as bits of one integer a pixel."""

import numpy as np
import torch
from onnx import TensorProto
from torch import Tensor

from glassine.models.classic.outside import connected_to_border
from glassine.pipelines.onnx_export.nodes import DOMAIN, Nodes

NAME = "ConnectedToBorder"
MOST_PLANES = 30


def connected_planes(near: Tensor) -> Tensor:
    """What of each plane is connected, side by side, to the border.

    Args:
        near: `n h w` int32; bit k of a pixel says whether it belongs to plane k, k below `MOST_PLANES`.

    Returns:
        The same, with the bits only of pixels that a walk over pixels of their plane reaches from the border.

    In an export it becomes a node `NAME`, which `write_connected_planes` explains to ONNX; else OpenCV does it.
    """
    if torch.compiler.is_exporting():
        return torch.onnx.ops.symbolic(f"{DOMAIN}::{NAME}", (near,), dtype=near.dtype, shape=near.shape, version=1)
    result = np.zeros(near.shape, np.int32)
    for bit in (1 << plane for plane in range(MOST_PLANES)):
        for picture, filled in zip(near.numpy() & bit, result, strict=True):
            if picture.any():
                filled += connected_to_border(picture > 0).astype(np.int32) * bit
    return torch.from_numpy(result)


def write_connected_planes(outer: Nodes, near: str, height: int, width: int) -> str:
    """Write `connected_planes` for pictures of one size.

    A round lets what is reached run along its row and its column as far as its plane goes, in steps of 1, 2, 4, ...
    pixels; rounds go on until one brings nothing new. Few are needed where walks have few turns, and any walk ends.
    """
    ring = np.full((height, width), 2**MOST_PLANES - 1, np.int32)
    ring[1:-1, 1:-1] = 0
    inner = Nodes(f"{outer.prefix}_round")
    before = reached = f"{inner.prefix}_reached"
    for axis, length in ((2, width), (1, height)):
        for direction in (1, -1):
            run, step = near, 1  # run: the pixel and those of the `step` before it are all of the plane
            while step < length:
                source = inner.shift(reached, 3, axis, direction * step)
                reached = inner("BitwiseOr", [reached, inner("BitwiseAnd", [source, run])])
                run = outer("BitwiseAnd", [run, outer.shift(run, 3, axis, direction * step)])
                step *= 2
    news = inner("ReduceMax", [inner("BitwiseXor", [reached, before])], {"keepdims": 0})
    grew = inner("Greater", [news, inner.constant(np.array(0, np.int32))])
    body = inner.body(
        {before: TensorProto.INT32},
        {grew: TensorProto.BOOL, reached: TensorProto.INT32},
        scalars={f"{inner.prefix}_number": TensorProto.INT64, f"{inner.prefix}_going": TensorProto.BOOL},
    )
    start = outer("BitwiseAnd", [near, outer.constant(ring)])
    return outer("Loop", ["", outer.constant(np.array(True)), start], {"body": body})
