"""The nearest of some pixels for ONNX, the very one that OpenCV's distance transform names, ties and all."""

import cv2
import numpy as np
import onnx
import torch
from onnx import TensorProto
from torch import Tensor

from glassine.pipelines.onnx_export.nodes import DOMAIN, Nodes

NAME = "NearestPixel"
LONGEST = 1024  # of a side, so that a place and a column fit in 31 bits
# steps of OpenCV's 5x5 mask (Borgefors, "Distance transformations in digital images", CVGIP 1986) in 65,536ths
STRAIGHT, DIAGONAL, KNIGHT = 65536, 91750, 143976
# rows up, columns right, cost; in the order in which OpenCV looks at them: of two equally near, the first counts
STEPS = (
    (2, -1, KNIGHT),
    (2, 1, KNIGHT),
    (1, -2, KNIGHT),
    (1, -1, DIAGONAL),
    (1, 0, STRAIGHT),
    (1, 1, DIAGONAL),
    (1, 2, KNIGHT),
)
# What a pixel knows is one int64, so that the least of several is the nearest: from UNIT up the distance, then who
# comes first among equals, then the place. The lower half never uses its highest bit: ONNX Runtime's minimum of int64
# takes it for a sign, and gives the greater of two numbers that differ in nothing above it.
UNIT = 2**32
FAR = 2**28 * UNIT
NEVER = 2**62


def nearest_pixel(wanted: Tensor) -> Tensor:
    """The place of the nearest pixel where `wanted` (`n h w` bool) holds: `n h w` int64 in 0 .. hw-1; 0 without any.

    In an export it becomes a node `NAME`, which `write_nearest_pixel` explains to ONNX; else OpenCV does it.
    """
    if torch.compiler.is_exporting():
        return torch.onnx.ops.symbolic(f"{DOMAIN}::{NAME}", (wanted,), dtype=torch.int64, shape=wanted.shape, version=1)
    places = np.zeros(wanted.shape, np.int64)
    for picture, place in zip(wanted.numpy(), places, strict=True):
        if picture.any():
            _, labels = cv2.distanceTransformWithLabels(
                1 - picture.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
            )
            place[labels > 0] = np.flatnonzero(picture)[labels[labels > 0] - 1]
    return torch.from_numpy(places)


def write_nearest_pixel(nodes: Nodes, wanted: str, height: int, width: int) -> str:
    """Write `nearest_pixel` for pictures of one size: a pass over the rows downwards, and one upwards."""
    places = np.arange(height * width).reshape(height, width)
    keys = nodes("Where", [wanted, nodes.constant(places), nodes.constant(FAR)])  # n h w
    count = nodes("Shape", [wanted], {"start": 0, "end": 1})
    framed = nodes("Concat", [count, nodes.constant([width + 4])], {"axis": 0})
    beyond = nodes("Expand", [nodes.constant(FAR), framed])  # n w+4: a row outside the picture
    tie = 2 ** (height * width - 1).bit_length()
    for upwards in (0, 1):
        body = _row(f"{nodes.prefix}_{upwards}", width, tie, bool(upwards))
        attributes = {"body": body, "num_scan_inputs": 1, "scan_input_axes": [1], "scan_output_axes": [1]}
        attributes |= {"scan_input_directions": [upwards], "scan_output_directions": [upwards]}
        keys = nodes.several("Scan", [beyond, beyond, keys], 3, attributes)[2]
    return nodes("BitwiseAnd", [keys, nodes.constant(tie - 1)])


def _row(prefix: str, width: int, tie: int, upwards: bool) -> onnx.GraphProto:
    """The step of a pass to the next row `n w`, knowing the two before it, which have two pixels more at each end."""
    nodes = Nodes(prefix)
    rows = [f"{prefix}_row{number}" for number in range(3)]  # this one, the last, the last but one
    mirror = -1 if upwards else 1
    choices = [rows[0]]
    for order, (up, right, cost) in enumerate(STEPS, 1):
        seen = nodes.slice(rows[up], 1, 2 + right * mirror, width)
        choices.append(nodes("Add", [seen, nodes.constant(cost * UNIT + order * tie)]))
    untied = nodes.constant(~(UNIT - tie))
    best = nodes("BitwiseAnd", [nodes("Min", choices), untied])
    # The row's own neighbours: the least of all behind, each with its way added. Of equals the latest counts
    way = np.arange(width)[::-mirror].reshape(1, width)
    slope = nodes.constant(way * (STRAIGHT * UNIT))
    best = nodes("Add", [best, nodes("Add", [slope, nodes.constant(way * tie)])])
    step = 1
    while step < width:
        best = nodes("Min", [best, nodes.shift(best, 2, 1, mirror * step, nodes.constant(NEVER))])
        step *= 2
    best = nodes("Sub", [nodes("BitwiseAnd", [best, untied]), slope])
    wider = nodes("Pad", [best, nodes.constant([0, 2, 0, 2]), nodes.constant(FAR)])
    last = nodes("Identity", [rows[1]])
    kind = TensorProto.INT64
    return nodes.body(dict.fromkeys(rows[::-1], kind), dict.fromkeys((last, wider, best), kind))
