"""A model as look-ups: who makes a tensor, who reads it, its shape, its value where that is constant.

Whoever walks through a graph shares this view; nobody searches the node list again.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto
from onnx.helper import get_attribute_value
from onnx.numpy_helper import from_array, to_array

from host.sources.onnx.inference import inferred
from host.sources.onnx.interface import graph_inputs

STANDARD = ("", "ai.onnx")
"""The domain of ONNX's own operators, in both of its spellings."""

# how a Constant may hold its value
_PLAIN = {
    "value": TensorProto,
    **dict.fromkeys(("value_int", "value_ints"), np.int64),
    **dict.fromkeys(("value_float", "value_floats"), np.float32),
}

# depend on shapes alone, and those are static
_SHAPE_ONLY = ("Shape", "Size")


class View:
    """The look-ups of a model's outermost graph; its inputs are static. It does not follow later changes."""

    def __init__(self, proto: ModelProto) -> None:
        graph = inferred(proto).graph
        self.nodes: Sequence[NodeProto] = graph.node
        self.outputs = tuple(value.name for value in graph.output)
        self.makers = {name: node for node in graph.node for name in node.output if name}
        self.users: dict[str, list[NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self.users.setdefault(name, []).append(node)
        self.constants = {tensor.name: tensor for tensor in proto.graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant" and (kind := _PLAIN.get(node.attribute[0].name)):
                value = get_attribute_value(node.attribute[0])
                tensor = from_array(np.asarray(value, kind)) if kind is not TensorProto else value
                self.constants[node.output[0]] = tensor
        self.shapes = {
            value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
            for value in (*graph.value_info, *graph.input, *graph.output)
        }
        self.shapes |= {name: tuple(tensor.dims) for name, tensor in self.constants.items()}
        self.computed = {value.name for value in graph_inputs(proto)}
        """Tensors that depend on what the inputs hold; all others can be folded away."""
        for node in graph.node:
            if node.op_type not in _SHAPE_ONLY and not self.computed.isdisjoint(reads(node)):
                self.computed.update(filter(None, node.output))

    def value(self, name: str) -> NDArray[Any] | None:
        """A constant tensor's value."""
        return to_array(self.constants[name]) if name in self.constants else None

    def shape(self, name: str) -> tuple[int, ...]:
        """A tensor's dimensions, 0 for one that is not known; () also where nothing is known."""
        return self.shapes.get(name, ())

    def size(self, name: str, axis: int) -> int:
        """The length of an axis, 0 where it is not known."""
        shape = self.shape(name)
        return shape[axis] if axis < len(shape) else 0

    def parameter(self, node: NodeProto, index: int, name: str) -> NDArray[Any] | None:
        """What newer opsets take as a constant input and older ones as an attribute; None without either."""
        if len(node.input) > index and node.input[index]:
            return self.value(node.input[index])
        value = attribute(node, name)
        return None if value is None else np.asarray(value)


def inner_graphs(node: NodeProto) -> Iterator[GraphProto]:
    """The graphs in an operator's attributes: branches and loop bodies."""
    for entry in node.attribute:
        yield from entry.graphs
        if entry.HasField("g"):
            yield entry.g


def all_nodes(graph: GraphProto | FunctionProto) -> Iterator[NodeProto]:
    """The nodes of a graph, each with those of its inner graphs behind it."""
    for node in graph.node:
        yield node
        for inner in inner_graphs(node):
            yield from all_nodes(inner)


def reads(node: NodeProto) -> set[str]:
    """The tensors a node uses, those that its inner graphs take from outside included."""
    inner = (name for graph in inner_graphs(node) for child in graph.node for name in reads(child))
    return {*node.input, *inner}


def attribute(node: NodeProto, name: str, default: Any = None) -> Any:
    """The value of an operator's attribute, `default` where it has none."""
    return next((get_attribute_value(entry) for entry in node.attribute if entry.name == name), default)


def at(node: NodeProto) -> str:
    """Where an operator is, for messages: " at 'name'", by its first output where it has no name."""
    name = node.name or next(iter(node.output), "")
    return f" at {name!r}" if name else ""
