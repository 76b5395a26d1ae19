"""Hand-written ONNX nodes for what torch cannot export: loops, and chains of many small operations.

They include dilation with OpenCV's structuring elements and ours in integer operations, the median filter as minima and
maxima of shifted images, and the nearest marked pixel with the tie-breaking of OpenCV's distance transform.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import onnx
import torch
from einops import rearrange
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

DOMAIN = "glassine"  # domain of placeholder nodes, which are replaced with the hand-written ones
OPSET = 18


class Nodes:
    """A list of nodes that grows with every call; values are represented by their ONNX names.

    Args:
        prefix: prefix that makes the names unique in a graph.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.nodes: list[onnx.NodeProto] = []

    def __call__(self, op: str, inputs: Sequence[str], attributes: Mapping[str, Any] | None = None) -> str:
        """Add a node with one output and return the output's name."""
        return self.several(op, inputs, 1, attributes)[0]

    def several(
        self, op: str, inputs: Sequence[str], count: int, attributes: Mapping[str, Any] | None = None
    ) -> list[str]:
        """Add a node with `count` outputs and return their names."""
        names = [f"{self.prefix}_{len(self.nodes)}_{i}" for i in range(count)]
        node = helper.make_node(op, list(inputs), names)
        node.attribute.extend(helper.make_attribute(name, value) for name, value in (attributes or {}).items())
        self.nodes.append(node)
        return names

    def constant(self, value: NDArray | Sequence[int] | int) -> str:
        """Add a constant; Python ints become int64."""
        return self("Constant", [], {"value": numpy_helper.from_array(np.asarray(value))})

    def shift(self, x: str, axes: int, axis: int, by: int, fill: str = "") -> str:
        """Shift `x`, which has `axes` axes, to higher indices, filling with zeros or `fill`."""
        pads = np.zeros(2 * axes, np.int64)
        pads[axis], pads[axis + axes] = by, -by  # values shifted out are cropped
        return self("Pad", [x, self.constant(pads), *([fill] if fill else [])])

    def slice(self, x: str, axis: int, start: int, length: int) -> str:
        """Slice `length` elements of `x` along an axis."""
        return self("Slice", [x, *(self.constant([number]) for number in (start, start + length, axis))])

    def body(
        self, inputs: Mapping[str, int], outputs: Mapping[str, int], scalars: Mapping[str, int] | None = None
    ) -> onnx.GraphProto:
        """The recorded nodes as a loop body: names to element types, in order, `scalars` before the inputs."""
        first = [helper.make_tensor_value_info(value, kind, ()) for value, kind in (scalars or {}).items()]
        taken, made = (
            [helper.make_tensor_value_info(value, kind, None) for value, kind in side.items()]
            for side in (inputs, outputs)
        )
        return helper.make_graph(self.nodes, f"{self.prefix}_body", first + taken, made)

    def ending_in(self, value: str, name: str) -> list[onnx.NodeProto]:
        """The nodes that `value` depends on, and one that gives it its final `name`."""
        needed, kept = {value}, [helper.make_node("Identity", [value], [name])]
        for node in reversed(self.nodes):
            if needed.intersection(node.output):
                bodies = [attribute.g for attribute in node.attribute]  # which may read values from the enclosing graph
                needed.update(node.input, *(inner.input for body in bodies for inner in body.node))
                kept.append(node)
        return kept[::-1]


Kernel = NDArray[np.uint8]


def grown(mask: Tensor, kernel: Kernel) -> Tensor:
    """Dilate a mask `n h w` (integers, 0 and 1) by a kernel.

    `kernel` is `k k` of 0 and 1, k odd; each row is one run around the middle, and none is empty. Pixels outside are 0,
    so eroding by `1 - grown(1 - mask, kernel)` treats everything outside as part of the mask.
    """
    radius = len(kernel) // 2
    wide = [mask]  # dilated to both sides by 0, 1, 2, ... pixels
    for i in range(1, radius + 1):
        wide.append(wide[-1] | moved(mask, 0, i) | moved(mask, 0, -i))
    lengths = (kernel.sum(axis=1) // 2).tolist()
    result = wide[lengths[radius]]
    for i in range(1, radius + 1):
        row = wide[lengths[radius + i]]
        result = result | moved(row, i, 0) | moved(row, -i, 0)
    return result


def moved(mask: Tensor, down: int, right: int) -> Tensor:
    """Shift along the last two axes, filling with zeros."""
    return torch.nn.functional.pad(mask, (right, -right, down, -down))


def disc(radius: int) -> Kernel:
    """Disk of the pixels at most `radius` from the center, as in `ColorProjection`."""
    squares = np.square(np.arange(-radius, radius + 1))
    return (np.add.outer(squares, squares) <= radius**2).astype(np.uint8)


def ellipse(radius: int) -> Kernel:
    """OpenCV's kernel; a single pixel for radius 0."""
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)), np.uint8)


MEDIAN = "MedianFilter"


def median_filter(pictures: Tensor, width: int) -> Tensor:
    """The median over `width` x `width` pixels (3 or 5) of `n 3 h w`; with replicated edges.

    In an export it becomes a node `MEDIAN`, which `write_median_filter` implements; otherwise OpenCV is used.
    """
    if torch.compiler.is_exporting():
        name, kind, shape = f"{DOMAIN}::{MEDIAN}", pictures.dtype, pictures.shape
        return torch.onnx.ops.symbolic(name, (pictures,), {"width": width}, dtype=kind, shape=shape, version=1)
    planes = rearrange(pictures, "n c h w -> n h w c").contiguous().numpy()
    calm = torch.from_numpy(np.stack([cv2.medianBlur(plane, width) for plane in planes]))
    return rearrange(calm, "n h w c -> n c h w")


def write_median_filter(nodes: Nodes, pictures: str, height: int, length: int, width: int) -> str:
    """Implement `median_filter` for images of a fixed size, `length` pixels wide.

    Columns are sorted once for all windows that share them, then the rows of each window. After that, every value is at
    least those above and to its left, so most cannot be the median; the few remaining candidates are sorted (equally
    many are dropped on both sides).
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
    """Sort pixel by pixel in ascending order; unused results can be dropped later."""
    result = list(values)
    for low, high in exchanges(len(result)):
        pair = [result[low], result[high]]
        result[low], result[high] = nodes("Min", pair), nodes("Max", pair)
    return result


def exchanges(count: int) -> Iterator[tuple[int, int]]:
    """Pairs to compare and swap, in order, to sort `count` values.

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


NEAREST = "NearestPixel"
LONGEST = 1024  # of a side, so that a position and a column fit in 31 bits
# steps of OpenCV's 5x5 mask (Borgefors, "Distance transformations in digital images", CVGIP 1986) in 65,536ths
STRAIGHT, DIAGONAL, KNIGHT = 65536, 91750, 143976
# rows up, columns right, cost; in OpenCV's order: of two equally near ones, the first wins
STEPS = (
    (2, -1, KNIGHT),
    (2, 1, KNIGHT),
    (1, -2, KNIGHT),
    (1, -1, DIAGONAL),
    (1, 0, STRAIGHT),
    (1, 1, DIAGONAL),
    (1, 2, KNIGHT),
)
# The state of a pixel is one int64, so that the minimum of several is the nearest: from UNIT up the distance, then the
# tie-breaker, then the position. The lower half never uses its highest bit: ONNX Runtime's int64 minimum treats it as a
# sign, and returns the larger of two numbers that do not differ above it.
UNIT = 2**32
FAR = 2**28 * UNIT
NEVER = 2**62


def nearest_pixel(wanted: Tensor) -> Tensor:
    """Index of the nearest pixel with `wanted` (`n h w` bool): `n h w` int64 in 0 .. hw-1; 0 if there is none.

    In an export it becomes a node `NEAREST`, which `write_nearest_pixel` implements; otherwise OpenCV is used.
    """
    if torch.compiler.is_exporting():
        return torch.onnx.ops.symbolic(
            f"{DOMAIN}::{NEAREST}", (wanted,), dtype=torch.int64, shape=wanted.shape, version=1
        )
    places = np.zeros(wanted.shape, np.int64)
    for picture, place in zip(wanted.numpy(), places, strict=True):
        if picture.any():
            _, labels = cv2.distanceTransformWithLabels(
                1 - picture.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
            )
            place[labels > 0] = np.flatnonzero(picture)[labels[labels > 0] - 1]
    return torch.from_numpy(places)


def write_nearest_pixel(nodes: Nodes, wanted: str, height: int, width: int) -> str:
    """Implement `nearest_pixel` for images of a fixed size: one pass over the rows downwards, and one upwards."""
    places = np.arange(height * width).reshape(height, width)
    keys = nodes("Where", [wanted, nodes.constant(places), nodes.constant(FAR)])  # n h w
    count = nodes("Shape", [wanted], {"start": 0, "end": 1})
    framed = nodes("Concat", [count, nodes.constant([width + 4])], {"axis": 0})
    beyond = nodes("Expand", [nodes.constant(FAR), framed])  # n w+4: a row outside the image
    tie = 2 ** (height * width - 1).bit_length()
    for upwards in (0, 1):
        body = _row(f"{nodes.prefix}_{upwards}", width, tie, bool(upwards))
        attributes = {"body": body, "num_scan_inputs": 1, "scan_input_axes": [1], "scan_output_axes": [1]}
        attributes |= {"scan_input_directions": [upwards], "scan_output_directions": [upwards]}
        keys = nodes.several("Scan", [beyond, beyond, keys], 3, attributes)[2]
    return nodes("BitwiseAnd", [keys, nodes.constant(tie - 1)])


def _row(prefix: str, width: int, tie: int, upwards: bool) -> onnx.GraphProto:
    """One step of a pass to the next row `n w`, given the two before it, which are padded by two pixels at each end."""
    nodes = Nodes(prefix)
    rows = [f"{prefix}_row{number}" for number in range(3)]  # this one, the previous one, the one before that
    mirror = -1 if upwards else 1
    choices = [rows[0]]
    for order, (up, right, cost) in enumerate(STEPS, 1):
        seen = nodes.slice(rows[up], 1, 2 + right * mirror, width)
        choices.append(nodes("Add", [seen, nodes.constant(cost * UNIT + order * tie)]))
    untied = nodes.constant(~(UNIT - tie))
    best = nodes("BitwiseAnd", [nodes("Min", choices), untied])
    # neighbors in the row: the minimum over all preceding ones plus their distance; of equals, the latest wins
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
