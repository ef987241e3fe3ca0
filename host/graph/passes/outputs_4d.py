"""Gives outputs of three dimensions a fourth one of length 1: [1, C, N] becomes [1, C, N, 1].

On RV1103 and RV1106 the runtime hands out outputs as they lie in the NPU's memory. The compiler gives
such a layout (NC1HWC2) to outputs of four dimensions only; those of three stay on the CPU without one, and
boards were reported to write only half of their values. docs/decode.md has figures.
"""

from dataclasses import replace
from itertools import count

import numpy as np
from onnx import ModelProto, ValueInfoProto
from onnx.helper import make_node
from onnx.numpy_helper import from_array

from host.graph.recipe import Graph, Request
from host.sources.onnx.interface import shape_text, static_shape


def outputs_4d(graph: Graph, _request: Request) -> tuple[Graph, str] | None:
    """Reshape every output of three dimensions; names and values stay."""
    proto = ModelProto()
    proto.CopyFrom(graph.proto)
    flat = [value for value in proto.graph.output if len(static_shape(value)) == 3]
    if not flat:
        return None
    shapes = {value.name: (*static_shape(value), 1) for value in flat}
    for value in flat:
        _widen(proto, value)
    outputs = tuple(replace(each, shape=shapes.get(each.name, each.shape)) for each in graph.decode.outputs)
    named = ", ".join(f"{name} {shape_text(shape)}" for name, shape in shapes.items())
    return Graph(proto, replace(graph.decode, outputs=outputs)), f"outputs in four dimensions: {named}"


def _widen(proto: ModelProto, value: ValueInfoProto) -> None:
    graph, name = proto.graph, value.name
    taken = {each for node in graph.node for each in (*node.input, *node.output)}
    inner = next(each for number in count() if (each := f"{name}_3d{number or ''}") not in taken)
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [inner if each == name else each for each in names]
    graph.initializer.append(from_array(np.array([*static_shape(value), 1]), f"{inner}_shape"))
    graph.node.append(make_node("Reshape", [inner, f"{inner}_shape"], [name], name=f"{inner}_reshape"))
    value.type.tensor_type.shape.dim.add().dim_value = 1
