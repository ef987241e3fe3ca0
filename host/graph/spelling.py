"""Writes a graph as the toolkit's rules can read it: the same model, only encoded otherwise.

Two rules of a toolkit stumble over the encoding: one writes into a Pad's pads, which numpy makes read-only
when they lie in `raw_data`; the other asks for LayerNormalization's epsilon although ONNX has a default.
Leaving the rules out, as the toolkit advises, would keep the Pad as an operator of its own, and the
LayerNormalization on the CPU. docs/measurements/regressions.md has figures.
"""

from onnx import ModelProto, TensorProto
from onnx.helper import make_attribute
from onnx.numpy_helper import to_array

EPSILON = 1e-5


def spell_out(proto: ModelProto) -> None:
    """Store whole numbers as lists and write down defaults, in place; no value changes."""
    for tensor in proto.graph.initializer:
        _as_list(tensor)
    for node in proto.graph.node:
        if node.op_type == "Constant":
            for each in node.attribute:
                _as_list(each.t)
        if node.op_type == "LayerNormalization" and not any(
            each.name == "epsilon" for each in node.attribute
        ):
            node.attribute.append(make_attribute("epsilon", EPSILON))


def _as_list(tensor: TensorProto) -> None:
    if tensor.data_type == TensorProto.INT64 and tensor.HasField("raw_data"):
        values = to_array(tensor).ravel().tolist()
        tensor.ClearField("raw_data")
        tensor.int64_data.extend(values)
