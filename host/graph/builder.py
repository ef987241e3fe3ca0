"""Builds on a graph: new nodes and constants, renamed tensors, and outputs cut where they are wanted."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto
from onnx.helper import make_node, make_tensor_value_info
from onnx.numpy_helper import from_array, to_array

from host.sources.onnx.interface import graph_inputs
from host.sources.onnx.opset import opset_of
from host.sources.onnx.reach import drop_unused
from host.sources.onnx.view import attribute


class Builder:
    """A copy of a model that grows; `finish` gives the result."""

    def __init__(self, proto: ModelProto) -> None:
        self._proto = ModelProto()
        self._proto.CopyFrom(proto)
        graph = self._proto.graph
        self.opset = opset_of(proto)
        self._taken = {name for node in graph.node for name in (*node.input, *node.output)}
        self._taken |= {value.name for value in (*graph.input, *graph.output, *graph.initializer)}

    def node(
        self, operator: str, *inputs: str, shape: Sequence[int] = (), output: str = "", **attributes: Any
    ) -> str:
        """Append a node with one output; returns the output's name.

        Args:
            operator: the operator's type.
            inputs: names of tensors.
            shape: for Reshape, what to give as its second input.
            output: its name, which no other tensor has; by default one that is found.
            attributes: of the node.
        """
        if shape:
            inputs = (*inputs, self.constant(np.asarray(shape, np.int64)))
        name = self._fresh(operator.lower())
        self._proto.graph.node.append(make_node(operator, inputs, [output or name], name=name, **attributes))
        return output or name

    def constant(self, values: NDArray[Any]) -> str:
        """Add a constant; returns its name."""
        name = self._fresh("constant")
        self._proto.graph.initializer.append(from_array(np.ascontiguousarray(values), name))
        return name

    def total(self, tensor: str, axis: int) -> str:
        """The sum along an axis, which stays with length 1."""
        if self.opset < 13:
            return self.node("ReduceSum", tensor, axes=[axis], keepdims=1)
        return self.node("ReduceSum", tensor, self.constant(np.asarray([axis])), keepdims=1)

    def unit(self, tensor: str) -> str:
        """The values, those outside 0..1 at its ends."""
        if self.opset < 11:
            return self.node("Clip", tensor, min=0.0, max=1.0)
        return self.node("Clip", tensor, *(self.constant(np.asarray(each, np.float32)) for each in (0, 1)))

    def softmax(self, tensor: str, axis: int, rank: int) -> str:
        """Shares along one axis; before opset 13 only the last axis gives that."""
        if self.opset >= 13 or axis == rank - 1:
            return self.node("Softmax", tensor, axis=axis)
        order = [place for place in range(rank) if place != axis] + [axis]
        back = [order.index(place) for place in range(rank)]
        moved = self.node("Softmax", self.node("Transpose", tensor, perm=order), axis=rank - 1)
        return self.node("Transpose", moved, perm=back)

    def channels(self, tensor: str, wanted: Sequence[int]) -> str:
        """Some channels of a [1, C, h, w] tensor, in the order asked: from a convolution of their own."""
        maker = next(node for node in self._proto.graph.node if tensor in node.output)
        stored = {each.name: each for each in self._proto.graph.initializer}
        if maker.op_type == "Conv" and all(name in stored for name in maker.input[1:]) and _plain(maker):
            return self._narrowed(maker, [stored[name] for name in maker.input[1:]], wanted)
        return self.node("Gather", tensor, self.constant(np.asarray(wanted)), axis=1)

    def _narrowed(self, maker: NodeProto, weights: Iterable[TensorProto], wanted: Sequence[int]) -> str:
        copy = NodeProto()
        copy.CopyFrom(maker)
        copy.input[1:] = [self.constant(to_array(each)[list(wanted)]) for each in weights]
        copy.output[0] = copy.name = self._fresh("conv")
        self._proto.graph.node.append(copy)
        return str(copy.output[0])

    def name(self, tensor: str, wished: str) -> str:
        """Rename a tensor; returns its new name, with a number behind it where another had it."""
        name = self._fresh(wished)
        for node in self._proto.graph.node:
            for names in (node.input, node.output):
                for place, each in enumerate(names):
                    if each == tensor:
                        names[place] = name
        return name

    def finish(self, outputs: Sequence[tuple[str, Sequence[int]]]) -> ModelProto:
        """The model with these outputs (name, shape) and nothing else; new ones are floats."""
        graph = self._proto.graph
        types = {value.name: value.type.tensor_type.elem_type for value in graph.output}
        del graph.output[:]
        graph.output.extend(
            make_tensor_value_info(name, types.get(name, TensorProto.FLOAT), shape) for name, shape in outputs
        )
        drop_unused(self._proto, keep=[value.name for value in graph_inputs(self._proto)])
        return self._proto

    def _fresh(self, wished: str) -> str:
        name, number = wished, 0
        while name in self._taken:
            number += 1
            name = f"{wished}_{number}"
        self._taken.add(name)
        return name


def _plain(conv: NodeProto) -> bool:
    return attribute(conv, "group") in (None, 1)
