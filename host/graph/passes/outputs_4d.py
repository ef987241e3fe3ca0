"""Gives outputs of three dimensions a fourth one of length 1: [1, C, N] becomes [1, C, N, 1].

On RV1103 and RV1106 the runtime hands out outputs as they lie in the NPU's memory. The compiler gives
such a layout (NC1HWC2) to outputs of four dimensions only; those of three stay on the CPU without one, and
boards were reported to write only half of their values. docs/decode.md has figures.
"""

from dataclasses import replace

from host.graph.builder import Builder
from host.graph.request import Graph, Request
from host.sources.onnx.interface import graph_inputs, shape_text, static_shape


def outputs_4d(graph: Graph, _request: Request) -> tuple[Graph, str] | None:
    """Reshape every output of three dimensions; names and values stay."""
    shapes = {value.name: static_shape(value) for value in graph.proto.graph.output}
    fed = {value.name for value in graph_inputs(graph.proto)}  # refused later, by its own name
    wider = {name: (*shape, 1) for name, shape in shapes.items() if len(shape) == 3 and name not in fed}
    if not wider:
        return None
    builder = Builder(graph.proto)
    for name, shape in wider.items():
        builder.node("Reshape", builder.name(name, f"{name}_3d"), shape=shape, output=name)
    proto = builder.finish([*{**shapes, **wider}.items()])
    outputs = tuple(replace(each, shape=wider.get(each.name, each.shape)) for each in graph.decode.outputs)
    named = ", ".join(f"{name} {shape_text(shape)}" for name, shape in wider.items())
    return Graph(proto, replace(graph.decode, outputs=outputs)), f"outputs in four dimensions: {named}"
