"""Writes an ONNX graph node by node; every tensor has the name of the node that makes it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from onnx import ModelProto, NodeProto, TensorProto
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info
from onnx.numpy_helper import from_array

OPSET = 12
"""What every toolkit takes."""
_IR = 7
"""The version of the file format that came with this opset."""


class Writer:
    """A graph that grows."""

    def __init__(self) -> None:
        self._nodes: list[NodeProto] = []
        self._weights: list[TensorProto] = []

    def node(self, operator: str, name: str, *inputs: str, **attributes: Any) -> str:
        """Append a node with one output; returns the output's name."""
        self._nodes.append(make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def numbers(self, name: str, values: ArrayLike) -> str:
        """Add a constant of floats; returns its name."""
        return self._constant(name, np.asarray(values, np.float32))

    def wholes(self, name: str, values: Sequence[int]) -> str:
        """Add a constant of whole numbers; returns its name."""
        return self._constant(name, np.asarray(values, np.int64))

    def reshape(self, name: str, tensor: str, *shape: int) -> str:
        """Append a Reshape."""
        return self.node("Reshape", name, tensor, self.wholes(f"{name}.shape", shape))

    def slice(self, name: str, tensor: str, axis: int, start: int, stop: int) -> str:
        """Append a Slice along one axis."""
        bounds = (
            self.wholes(f"{name}.{what}", [value])
            for what, value in (("start", start), ("stop", stop), ("axis", axis))
        )
        return self.node("Slice", name, tensor, *bounds)

    def times(self, name: str, tensor: str, factors: ArrayLike) -> str:
        """Append a product with constants."""
        return self.node("Mul", name, tensor, self.numbers(f"{name}.by", factors))

    def plus(self, name: str, tensor: str, values: ArrayLike) -> str:
        """Append a sum with constants."""
        return self.node("Add", name, tensor, self.numbers(f"{name}.by", values))

    def model(
        self, name: str, image: tuple[str, Sequence[int]], output: tuple[str, Sequence[int]]
    ) -> ModelProto:
        """The graph as a model: one input and one output, each with its name and shape."""
        inputs, outputs = (
            [make_tensor_value_info(port, TensorProto.FLOAT, shape)] for port, shape in (image, output)
        )
        graph = make_graph(self._nodes, name, inputs, outputs, self._weights)
        return make_model(
            graph, opset_imports=[make_opsetid("", OPSET)], ir_version=_IR, producer_name="rkforge"
        )

    def _constant(self, name: str, values: np.ndarray[Any, Any]) -> str:
        self._weights.append(from_array(np.ascontiguousarray(values), name))
        return name
