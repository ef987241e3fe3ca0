"""Which channels of an output belong together, read from the graph that glued them.

A detector's last Concat puts boxes in pixels and scores in 0..1 into one tensor. In int8 that tensor has one
scale, and the scores drown in it. Only the graph knows where one kind of value ends and the next begins: this
module walks back from an output, through what merely moves or rescales values, to the Concats. It stops where
values are mixed, and where shape inference lost the length of an axis.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import accumulate, pairwise
from math import prod
from typing import Any

from numpy.typing import NDArray
from onnx import ModelProto, NodeProto

from host.sources.onnx.view import View, attribute


@dataclass(frozen=True)
class Group:
    """Channels start..stop-1 of one kind; `unit` when the graph keeps their values within 0..1."""

    start: int
    stop: int
    unit: bool


@dataclass(frozen=True)
class Layout:
    """The channel axis of an output (batch is axis 0) and its groups, in order and without gaps."""

    axis: int
    groups: tuple[Group, ...]


def channel_layouts(proto: ModelProto, inner: bool = False) -> dict[str, Layout]:
    """The channel groups of every output, by name; the model's shapes are static.

    With `inner`, also those of every Concat inside that glues values of 0..1 to others.
    """
    graph = _Graph(proto)
    found = {name: graph.layout(name) for name in graph.outputs}
    for node in graph.nodes if inner else ():
        name = node.output[0]
        rank = len(graph.shapes.get(name, ()))
        if node.op_type == "Concat" and name not in found and rank > 1:  # below that, shapes are computed
            axis = attribute(node, "axis") % rank
            if _kinds(graph.groups(name, axis)) > 1:
                found[name] = Layout(axis, graph.groups(name, axis))
    return found


class _Graph(View):
    """A model as look-ups, the groups of a tensor along an axis among them."""

    def __init__(self, proto: ModelProto) -> None:
        super().__init__(proto)
        self.groups: Callable[[str, int], tuple[Group, ...]] = cache(self._groups)

    def layout(self, name: str) -> Layout:
        """The likeliest channel axis: one along which the kinds differ, or that a Concat cuts, or any."""
        shape = self.shapes[name]
        if len(shape) == 3:
            axes = sorted((1, 2), key=lambda axis: shape[axis])  # a detector has more anchors than channels
        elif len(shape) > 1:
            axes = [1, len(shape) - 1, *range(2, len(shape) - 1)]
        else:
            return Layout(0, self.groups(name, 0) if shape else (Group(0, 1, False),))
        axis = max(axes, key=lambda each: (_kinds(self.groups(name, each)), len(self.groups(name, each)) > 1))
        return Layout(axis, self.groups(name, axis))

    def parts(self, node: NodeProto, axis: int, size: int) -> list[tuple[Group, ...]]:
        """The groups of every input along an axis of the output, `size` long; shapes align at their ends."""
        rank = len(self.shapes[node.output[0]])
        parts = []
        for source in node.input:
            own_axis = axis - rank + len(self.shape(source))
            groups = self.groups(source, own_axis) if own_axis >= 0 else ()
            whole = Group(0, size, all(group.unit for group in groups) and bool(groups))
            parts.append(groups if groups and groups[-1].stop == size else (whole,))
        return parts

    def _groups(self, name: str, axis: int) -> tuple[Group, ...]:
        """The groups along an axis of a tensor: one where the graph tells no more, none at unknown length."""
        size = self.size(name, axis)
        node = self.makers.get(name)
        value = self.value(name)
        if not size:
            return ()
        if value is not None or node is None:
            return (Group(0, size, value is not None and _within_unit(value)),)
        step = _STEPS.get(node.op_type)
        return (step and step(self, node, name, axis)) or (Group(0, size, self._is_unit(node, name)),)

    def _is_unit(self, node: NodeProto, name: str) -> bool:
        if node.op_type in _UNIT:
            return True
        groups = self.groups(node.input[0], 0) if node.op_type in _CHOOSE and name == node.output[0] else ()
        return bool(groups) and all(group.unit for group in groups)


_Step = Callable[[_Graph, NodeProto, str, int], tuple[Group, ...] | None]


def _same(graph: _Graph, node: NodeProto, _name: str, axis: int) -> tuple[Group, ...]:
    return graph.groups(node.input[0], axis)


def _unit(graph: _Graph, node: NodeProto, _name: str, axis: int) -> tuple[Group, ...]:
    return tuple(replace(group, unit=True) for group in graph.groups(node.input[0], axis))


def _clip(graph: _Graph, node: NodeProto, name: str, axis: int) -> tuple[Group, ...]:
    bounds = (graph.parameter(node, 1, "min"), graph.parameter(node, 2, "max"))
    closed = all(bound is not None and _within_unit(bound) for bound in bounds)
    return (_unit if closed else _same)(graph, node, name, axis)


def _pointwise(graph: _Graph, node: NodeProto, name: str, axis: int) -> tuple[Group, ...]:
    parts = graph.parts(node, axis, graph.size(name, axis))
    return _merge(parts, set.union(*map(_stops, parts)), keeps_unit=node.op_type in ("Mul", "Max", "Min"))


def _concat(graph: _Graph, node: NodeProto, name: str, axis: int) -> tuple[Group, ...] | None:
    if attribute(node, "axis") % len(graph.shapes[name]) != axis:
        parts = graph.parts(node, axis, graph.size(name, axis))
        return _merge(parts, set.intersection(*map(_stops, parts)))
    parts = [graph.groups(source, axis) for source in node.input]
    if not all(parts):
        return None
    offsets = accumulate((part[-1].stop for part in parts), initial=0)
    return tuple(_shift(group, start) for start, part in zip(offsets, parts, strict=False) for group in part)


def _transpose(graph: _Graph, node: NodeProto, name: str, axis: int) -> tuple[Group, ...]:
    permutation = attribute(node, "perm") or range(len(graph.shapes[name]))[::-1]
    return graph.groups(node.input[0], permutation[axis])


def _reshape(graph: _Graph, node: NodeProto, name: str, axis: int) -> tuple[Group, ...] | None:
    """An axis survives a reshape when its length and the number of elements before it stay the same."""
    before, after = graph.shape(node.input[0]), graph.shapes[name]
    for own_axis, length in enumerate(before):
        if length == after[axis] and 0 != prod(before[:own_axis]) == prod(after[:axis]):
            return graph.groups(node.input[0], own_axis)
    return None


def _split(graph: _Graph, node: NodeProto, name: str, axis: int) -> tuple[Group, ...] | None:
    before = list(node.output)[: list(node.output).index(name)]
    lengths = [graph.size(output, axis) for output in before]
    if not all(lengths):
        return None
    along = (attribute(node, "axis") or 0) % len(graph.shapes[name]) == axis
    return _window(graph.groups(node.input[0], axis), sum(lengths) if along else 0, graph.size(name, axis))


def _slice(graph: _Graph, node: NodeProto, name: str, axis: int) -> tuple[Group, ...] | None:
    groups, size = graph.groups(node.input[0], axis), graph.size(name, axis)
    if not groups or size == groups[-1].stop:
        return groups
    starts = graph.parameter(node, 1, "starts")
    axes = graph.parameter(node, 3, "axes")
    steps = graph.parameter(node, 4, "steps")
    if starts is None or (steps is not None and (steps != 1).any()):
        return None
    order = [int(one) % len(graph.shapes[name]) for one in (range(len(starts)) if axes is None else axes)]
    start = int(starts[order.index(axis)])
    return _window(groups, start + groups[-1].stop if start < 0 else start, size)


_POINTWISE = (
    *("Abs", "Add", "Div", "Elu", "Exp", "HardSwish", "LeakyRelu", "Log", "Max", "Min", "Mul", "Neg", "Pow"),
    *("Softplus", "Sqrt", "Sub", "Tanh"),
)

# operators that a group survives, and how
_STEPS: dict[str, _Step] = {
    **dict.fromkeys(("Cast", "Dropout", "Identity", "Relu"), _same),
    **dict.fromkeys(("HardSigmoid", "Sigmoid"), _unit),
    **dict.fromkeys(_POINTWISE, _pointwise),
    **dict.fromkeys(("Flatten", "Reshape", "Squeeze", "Unsqueeze"), _reshape),
    "Clip": _clip,
    "Concat": _concat,
    "Slice": _slice,
    "Split": _split,
    "Transpose": _transpose,
}

# their values lie in 0..1, whatever the input
_UNIT = ("HardSigmoid", "Sigmoid", "Softmax")

# choose or average values of their first input: what lay in 0..1 stays there
_CHOOSE = (
    *("AveragePool", "DepthToSpace", "Expand", "Flatten", "Gather", "GatherElements", "GatherND", "MaxPool"),
    *("ReduceMax", "ReduceMean", "ReduceMin", "Reshape", "Slice", "Squeeze", "Tile", "TopK", "Unsqueeze"),
)


def _merge(parts: Sequence[tuple[Group, ...]], stops: set[int], keeps_unit: bool = True) -> tuple[Group, ...]:
    """Groups that end at `stops`; within 0..1 where all parts are."""
    return tuple(
        Group(start, stop, keeps_unit and all(g.unit for p in parts for g in _window(p, start, stop - start)))
        for start, stop in pairwise([0, *sorted(stops)])
    )


def _window(groups: Iterable[Group], start: int, size: int) -> tuple[Group, ...]:
    """The groups within start..start+size, counted from start."""
    return tuple(
        Group(max(group.start - start, 0), min(group.stop - start, size), group.unit)
        for group in groups
        if group.start < start + size and group.stop > start
    )


def _kinds(groups: Iterable[Group]) -> int:
    return len({group.unit for group in groups})


def _shift(group: Group, offset: int) -> Group:
    return Group(group.start + offset, group.stop + offset, group.unit)


def _stops(groups: Iterable[Group]) -> set[int]:
    return {group.stop for group in groups}


def _within_unit(values: NDArray[Any]) -> bool:
    return bool(values.size and values.min() >= 0 and values.max() <= 1)
