"""ONNX nodes written by hand, for what torch cannot hand to ONNX: loops, and chains of a hundred small operations."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

DOMAIN = "glassine"  # of the nodes that stand for what is written by hand, until it is put in their place
OPSET = 18


class Nodes:
    """A list of nodes that grows with every call; values are strings, the names that ONNX knows them by.

    Args:
        prefix: of the names, so that they differ from those of all other parts of a graph.
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
        """Add a constant; whole numbers of Python are int64."""
        return self("Constant", [], {"value": numpy_helper.from_array(np.asarray(value))})

    def shift(self, x: str, axes: int, axis: int, by: int, fill: str = "") -> str:
        """Move the content of `x`, which has `axes` axes, to higher indices; zeros, or `fill`, come in."""
        pads = np.zeros(2 * axes, np.int64)
        pads[axis], pads[axis + axes] = by, -by  # what is pushed out is cropped
        return self("Pad", [x, self.constant(pads), *([fill] if fill else [])])

    def slice(self, x: str, axis: int, start: int, length: int) -> str:
        """Cut `length` of `x` out along an axis."""
        return self("Slice", [x, *(self.constant([number]) for number in (start, start + length, axis))])

    def body(
        self, inputs: Mapping[str, int], outputs: Mapping[str, int], scalars: Mapping[str, int] | None = None
    ) -> onnx.GraphProto:
        """What was recorded as a loop's body: names to element types, in order, `scalars` before the inputs."""
        first = [helper.make_tensor_value_info(value, kind, ()) for value, kind in (scalars or {}).items()]
        came, made = (
            [helper.make_tensor_value_info(value, kind, None) for value, kind in side.items()]
            for side in (inputs, outputs)
        )
        return helper.make_graph(self.nodes, f"{self.prefix}_body", first + came, made)

    def ending_in(self, value: str, name: str) -> list[onnx.NodeProto]:
        """The nodes that `value` depends on, and one that gives it its final `name`."""
        needed, kept = {value}, [helper.make_node("Identity", [value], [name])]
        for node in reversed(self.nodes):
            if needed.intersection(node.output):
                bodies = [attribute.g for attribute in node.attribute]  # which may read values from around them
                needed.update(node.input, *(inner.input for body in bodies for inner in body.node))
                kept.append(node)
        return kept[::-1]
