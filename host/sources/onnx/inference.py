"""ONNX's shape inference without the weights: it copies a model several times, and needs few values."""

from math import prod

from onnx import ModelProto
from onnx.helper import make_tensor_value_info
from onnx.shape_inference import infer_shapes

_SMALL = 1024
"""Numbers of a tensor that may still be a shape, an index or the bounds of a slice."""


def inferred(proto: ModelProto) -> ModelProto:
    """A copy of the model with all shapes that can be inferred; large weights are inputs without values."""
    thin = ModelProto(ir_version=proto.ir_version, opset_import=proto.opset_import)
    graph, whole = thin.graph, proto.graph
    graph.name = whole.name
    graph.node.extend(whole.node)
    graph.input.extend(whole.input)
    graph.output.extend(whole.output)
    graph.value_info.extend(whole.value_info)
    graph.sparse_initializer.extend(whole.sparse_initializer)
    declared = {value.name for value in whole.input}
    for tensor in whole.initializer:
        if prod(tensor.dims) <= _SMALL:
            graph.initializer.append(tensor)
        elif tensor.name not in declared:
            graph.input.append(make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    return infer_shapes(thin, data_prop=True)


def note_shapes(proto: ModelProto) -> None:
    """Write all shapes that can be inferred into the model itself."""
    graph = inferred(proto).graph
    del proto.graph.value_info[:]
    proto.graph.value_info.extend(graph.value_info)
    del proto.graph.output[:]
    proto.graph.output.extend(graph.output)
