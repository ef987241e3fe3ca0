"""Writes a model in an older operator set, operator by operator.

ONNX's own version converter gives up at most graphs on their way below opset 13, for want of an adapter for
Resize, Shape or ReduceMean (docs/measurements/opset-lowering.md). But most of what is new in an operator set
is types, so that an operator is nearly always valid as it stands; ONNX's schemas tell. For others there is a
rule here, or the body by which ONNX itself defines a new operator.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto
from onnx.defs import OpSchema, SchemaError, get_schema
from onnx.helper import make_attribute, make_node, make_tensor_value_info
from onnx.inliner import inline_selected_functions
from onnx.numpy_helper import from_array

from host.sources.onnx.view import STANDARD, View, at, attribute


class OpsetError(Exception):
    """A model has no form in another operator set; the text tells why."""


def lowered(proto: ModelProto, opset: int, to: int) -> ModelProto:
    """The model, written in the standard operator set `opset`, in the older one `to`; its inputs are static.

    What comes out is to be checked and run: neither schemas nor rules look at types.

    Raises:
        OpsetError: there is an operator without an older form; the text names it.
    """
    proto = _expanded(proto, opset, to)
    _rewrite(proto.graph, View(proto), opset, to)
    for entry in proto.opset_import:
        if entry.domain in STANDARD:
            entry.version = to
    return proto


def _expanded(proto: ModelProto, opset: int, to: int) -> ModelProto:
    """A copy in which operators younger than `to` are replaced by their definitions."""
    copy = ModelProto()
    copy.CopyFrom(proto)
    known = {value.name for value in (*copy.graph.input, *copy.graph.value_info)}
    copy.graph.value_info.extend(  # some definitions depend on types, those of weights included
        make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        for tensor in copy.graph.initializer
        if tensor.name not in known
    )
    while young := {node.op_type: node for node in copy.graph.node if _is_young(node, to)}:
        names = [("", name) for name in young]
        copy = inline_selected_functions(copy, names, inline_schema_functions=True)
        for node in copy.graph.node:
            if node.op_type in young:
                since = get_schema(node.op_type, opset).since_version
                raise OpsetError(f"{node.op_type}{at(node)} is new in opset {since}")
    return copy


def _is_young(node: NodeProto, to: int) -> bool:
    """Whether a node must be replaced; CastLike as well, which definitions use and no toolkit knows."""
    return _schema(node, to) is None or node.op_type == "CastLike"


def _rewrite(graph: GraphProto, look: View, opset: int, to: int) -> None:
    nodes = [after for node in graph.node for after in _older(node, look, opset, to)]
    del graph.node[:]
    graph.node.extend(nodes)
    for node in nodes:
        for entry in node.attribute:
            if entry.HasField("g"):
                _rewrite(entry.g, look, opset, to)


def _older(node: NodeProto, look: View, opset: int, to: int) -> Iterator[NodeProto]:
    """The operators of opset `to` that do what `node` does."""
    old, new = _schema(node, to), _schema(node, opset)
    if old is None or new is None or old.since_version == new.since_version:
        yield node
        return
    for name in set(new.attributes) - set(old.attributes):
        _drop(node, name, new.attributes[name].default_value)
    rule = _RULES.get(node.op_type)
    if rule and to < rule.since:
        yield from rule.apply(node, look, to)
        return
    extra = {entry.name for entry in node.attribute} - set(old.attributes)
    if extra or len(node.input) > old.max_input:
        what = ", ".join(sorted(extra)) or "its inputs"
        raise OpsetError(f"{node.op_type}{at(node)} uses what opset {to} does not have ({what})")
    yield node


def _schema(node: NodeProto, opset: int) -> OpSchema | None:
    """The operator's definition in a standard operator set; None for one that it does not have."""
    try:
        return get_schema(node.op_type, opset) if node.domain in STANDARD else None
    except SchemaError:
        return None


def _drop(node: NodeProto, name: str, default: Any = None) -> None:
    """Remove an attribute; where a default is given only one that says the same."""
    kept = [entry for entry in node.attribute if entry.name != name or default not in (None, entry)]
    del node.attribute[:]
    node.attribute.extend(kept)


class _Rule(NamedTuple):
    """How an operator of opset `since` or later is written in one before that."""

    since: int
    apply: Callable[[NodeProto, View, int], Iterator[NodeProto]]


def _axes(node: NodeProto, look: View, _to: int) -> Iterator[NodeProto]:
    """Axes are an input, and were an attribute."""
    axes = look.parameter(node, 1, "axes")
    if axes is None and len(node.input) > 1 and node.input[1]:
        raise OpsetError(f"{node.op_type}{at(node)} has axes that are not constant")
    if (axes is None or not axes.size) and attribute(node, "noop_with_empty_axes"):
        yield make_node("Identity", node.input[:1], node.output)
        return
    del node.input[1:]
    _drop(node, "axes")
    _drop(node, "noop_with_empty_axes")
    if axes is not None and axes.size:
        node.attribute.append(make_attribute("axes", axes.tolist()))
    yield node


def _reshape(node: NodeProto, look: View, _to: int) -> Iterator[NodeProto]:
    """A length of 0 always meant the input's; exporters ask that it mean 0 without ever giving one."""
    shape = look.value(node.input[1])
    lengths = look.shape(node.output[0]) if shape is None else shape
    if attribute(node, "allowzero") and not (len(lengths) and all(lengths)):
        raise OpsetError(f"{node.op_type}{at(node)} may make an empty tensor (allowzero)")
    _drop(node, "allowzero")
    yield node


def _shape(node: NodeProto, look: View, _to: int) -> Iterator[NodeProto]:
    """A part of a shape was not to be had, but all shapes are known."""
    start, end = attribute(node, "start", 0), attribute(node, "end")
    if start == 0 and end is None:
        yield node
        return
    lengths = look.shape(node.input[0])
    if not all(lengths):
        raise OpsetError(f"{node.op_type}{at(node)} has an input of unknown shape")
    yield _constant(node.output[0], lengths[start:end], np.int64)


def _split(node: NodeProto, look: View, to: int) -> Iterator[NodeProto]:
    """The sizes of the parts may follow from their number, and were an input, before that an attribute."""
    axis = attribute(node, "axis", 0)
    sizes = [look.shape(name)[axis : axis + 1 or None] for name in node.output]
    if not all(size and size[0] for size in sizes):
        raise OpsetError(f"{node.op_type}{at(node)} has parts of unknown size")
    lengths = [size[0] for size in sizes]
    del node.input[1:]
    _drop(node, "num_outputs")
    if to < 13:
        node.attribute.append(make_attribute("split", lengths))
    else:
        node.input.append(f"{node.output[0]}.sizes")
        yield _constant(node.input[1], lengths, np.int64)
    yield node


def _resize(node: NodeProto, _look: View, _to: int) -> Iterator[NodeProto]:
    """Region and scales could not be left out."""
    inputs = [*node.input, ""][:3]
    empty = f"{node.output[0]}.none"
    node.input[:3] = [name or empty for name in inputs]
    if empty in node.input:
        yield _constant(empty, [], np.float32)
    yield node


def _softmax(node: NodeProto, look: View, _to: int) -> Iterator[NodeProto]:
    """Along one axis, and before along all from that axis on: the same for the last one."""
    axis = attribute(node, "axis", -1)
    _drop(node, "axis")
    node.attribute.append(make_attribute("axis", -1))
    rank = len(look.shape(node.input[0]))
    if axis in (-1, rank - 1):
        yield node
        return
    if not rank:
        raise OpsetError(f"{node.op_type}{at(node)} has an input of unknown shape")
    order = [number for number in range(rank) if number != axis % rank] + [axis % rank]
    source, target = node.input[0], node.output[0]
    moved, done = f"{target}.moved", f"{target}.done"
    yield make_node("Transpose", [source], [moved], perm=order)
    node.input[0], node.output[0] = moved, done
    yield node
    yield make_node("Transpose", [done], [target], perm=np.argsort(order).tolist())


def _grid_sample(node: NodeProto, _look: View, _to: int) -> Iterator[NodeProto]:
    """Its modes have been named as everywhere else since it is not for images alone."""
    mode = attribute(node, "mode", b"linear").decode()
    _drop(node, "mode")
    node.attribute.append(make_attribute("mode", {"linear": "bilinear", "cubic": "bicubic"}.get(mode, mode)))
    yield node


def _constant(name: str, values: Sequence[float], kind: Any) -> NodeProto:
    return make_node("Constant", [], [name], value=from_array(np.asarray(values, kind)))


_RULES = {
    **dict.fromkeys(("ReduceSum", "Squeeze", "Unsqueeze"), _Rule(13, _axes)),
    **{
        f"Reduce{name}": _Rule(18, _axes)
        for name in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare")
    },
    **dict.fromkeys(("Hardmax", "LogSoftmax", "Softmax"), _Rule(13, _softmax)),
    "GridSample": _Rule(20, _grid_sample),
    "Reshape": _Rule(14, _reshape),
    "Resize": _Rule(13, _resize),
    "Shape": _Rule(15, _shape),
    "Split": _Rule(18, _split),
}
