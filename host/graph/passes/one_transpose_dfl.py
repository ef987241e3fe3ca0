"""Rewrites the expectation over bins (DFL) that exports of opset 12 have: one Transpose instead of two.

Ultralytics writes Transpose, Softmax over the last axis, Transpose for opset 12 and older; for newer ones
Transpose, Softmax over axis 1. Boards with RV1106 were reported to stop at the first form ("unsupport cpu
Transpose op"). The compilers of rknn-toolkit2 2.2.0 to 2.5.0 make the same rows of both forms (measured for
rv1106): this is for what they do not recognise.
"""

from collections.abc import Iterator

from onnx import ModelProto, NodeProto
from onnx.helper import make_attribute
from onnx.version_converter import convert_version

from host.graph.request import Graph, Request
from host.sources.onnx.opset import opset_of
from host.sources.onnx.view import attribute

OWN_AXIS = 13
"""The opset since which Softmax works along its axis alone, and not along all that follow too."""


def one_transpose_dfl(graph: Graph, _request: Request) -> tuple[Graph, str] | None:
    """Make one of the two transposes around every Softmax over the last axis; values stay as they are."""
    if not any(_sandwiches(graph.proto)):
        return None
    proto, raised = _with_own_axis(graph.proto)
    found = list(_sandwiches(proto))
    for first, softmax, second in found:
        before, after = attribute(first, "perm"), attribute(second, "perm")
        order = [before[axis] for axis in after]
        _set(first, "perm", order)
        _set(softmax, "axis", after.index(len(after) - 1))
        if order == sorted(order):  # nothing moves
            softmax.input[0] = first.input[0]
            proto.graph.node.remove(first)
        softmax.output[0] = second.output[0]
        proto.graph.node.remove(second)
    if not found:  # the converter wrote it in another way
        return None
    del proto.graph.value_info[:]  # the shapes between them are others now
    return Graph(proto, graph.decode), f"joined the Transposes around {len(found)} Softmax{raised}"


def _sandwiches(proto: ModelProto) -> Iterator[tuple[NodeProto, NodeProto, NodeProto]]:
    """Transpose, Softmax over the last axis, Transpose, where nobody else reads what lies between."""
    makers = {node.output[0]: node for node in proto.graph.node}
    users: dict[str, list[NodeProto]] = {}
    for node in proto.graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    outputs = {value.name for value in proto.graph.output}
    for softmax in proto.graph.node:
        if softmax.op_type != "Softmax" or not outputs.isdisjoint((softmax.input[0], softmax.output[0])):
            continue
        first, after = makers.get(softmax.input[0]), users.get(softmax.output[0], [])
        if first is None or [first.op_type, *(node.op_type for node in after)] != ["Transpose"] * 2:
            continue
        second = after[0]
        axis, rank = attribute(softmax, "axis"), len(attribute(second, "perm") or ())
        if rank and axis in (-1, rank - 1) and len(users[softmax.input[0]]) == 1:
            yield first, softmax, second


def _with_own_axis(source: ModelProto) -> tuple[ModelProto, str]:
    """A copy whose Softmax works along one axis, and what that took."""
    if opset_of(source) < OWN_AXIS:
        raised = convert_version(source, OWN_AXIS)
        if not raised.metadata_props:
            raised.metadata_props.extend(source.metadata_props)
        return raised, f"; opset raised to {OWN_AXIS} for it"
    copy = ModelProto()
    copy.CopyFrom(source)
    return copy, ""


def _set(node: NodeProto, name: str, value: int | list[int]) -> None:
    kept = [entry for entry in node.attribute if entry.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, make_attribute(name, value)])
