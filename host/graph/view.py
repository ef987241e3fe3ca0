"""A model as look-ups: who makes a tensor, who reads it, its shape, its value if it is constant.

Whoever walks through a graph shares this view; nobody searches the node list again.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto
from onnx.helper import get_attribute_value
from onnx.numpy_helper import to_array
from onnx.shape_inference import infer_shapes


class View:
    """The look-ups of one model, whose inputs are static. It does not follow later changes."""

    def __init__(self, proto: ModelProto) -> None:
        graph = infer_shapes(proto, data_prop=True).graph
        self.nodes: Sequence[NodeProto] = graph.node
        self.outputs = tuple(value.name for value in graph.output)
        self.makers = {name: node for node in graph.node for name in node.output if name}
        self.users: dict[str, list[NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self.users.setdefault(name, []).append(node)
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self.constants[node.output[0]] = node.attribute[0].t
        self.shapes = {
            value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
            for value in (*graph.value_info, *graph.input, *graph.output)
        }
        self.shapes |= {name: tuple(tensor.dims) for name, tensor in self.constants.items()}

    def value(self, name: str) -> NDArray[Any] | None:
        """A constant tensor's value."""
        return to_array(self.constants[name]) if name in self.constants else None

    def size(self, name: str, axis: int) -> int:
        """The length of an axis, 0 where it is not known."""
        shape = self.shapes.get(name, ())
        return shape[axis] if axis < len(shape) else 0

    def parameter(self, node: NodeProto, index: int, name: str) -> NDArray[Any] | None:
        """What newer opsets take as a constant input and older ones as an attribute; None without either."""
        if len(node.input) > index:
            return self.value(node.input[index])
        value = attribute(node, name)
        return None if value is None else np.asarray(value)


def attribute(node: NodeProto, name: str) -> Any:
    """An attribute's value, None where the node leaves it out."""
    return next((get_attribute_value(entry) for entry in node.attribute if entry.name == name), None)
