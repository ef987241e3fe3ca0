"""The part of a frozen TensorFlow graph that a toolkit's loader shall read.

Graphs of detectors carry loops that decode and sort, which no toolkit compiles. The file does not tell where
such a graph must be cut, but where its convolutions begin and where what they feed ends: a user is told that.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from host.sources.native.excerpt import Excerpt, require
from host.sources.readers import graphdef
from host.sources.readers.graphdef import attributes, node_of
from host.sources.source import Interface, Port
from shared.faults import Fault

_CONVOLUTIONS = ("Conv2D", "DepthwiseConv2dNative", "Conv3D", "MatMul", "Conv2DBackpropInput")
_AROUND = ("Identity", "Pad", "PadV2", "MirrorPad", "SpaceToBatchND")
"""What lies between a convolution and what feeds it, as a part of it."""
_DYNAMIC = (
    *("Enter", "Exit", "Switch", "Merge", "NextIteration", "LoopCond", "While", "StatelessWhile", "If"),
    *("StatelessIf", "TensorArrayV3", "TensorArrayReadV3", "TensorArrayGatherV3", "TensorArrayScatterV3"),
    *("NonMaxSuppression", "NonMaxSuppressionV2", "NonMaxSuppressionV3", "NonMaxSuppressionV4", "Where"),
    *("NonMaxSuppressionV5", "CombinedNonMaxSuppression", "TopK", "TopKV2"),
)
"""Where the part that has fixed shapes ends."""
_OF_SHAPES = ("Shape", "Size", "Rank")
"""Constant once the inputs have fixed shapes."""
_MOST_NAMED = 4


def excerpt(
    _files: Mapping[str, Path], interface: Interface, inputs: Sequence[str], outputs: Sequence[str]
) -> Excerpt:
    """The graph between nodes, by default from its placeholders to the nodes that nobody takes.

    Raises:
        Fault: bad-option for nodes that are not there or do not hang together.
    """
    nodes = {node.name: node for node in interface.parsed.node}
    ports = {each.name: each for each in interface.inputs}
    starts = _named("--inputs", inputs, nodes) or tuple(ports)
    ends = _named("--outputs", outputs, nodes) or tuple(each.name for each in interface.outputs)
    cure = _cure(nodes, ports)
    between = _between(nodes, starts, ends, ports, cure)
    return Excerpt(
        inputs=tuple(ports.get(name, _inner(nodes[name])) for name in starts),
        outputs=tuple(Port(name, (), "float32") for name in ends),
        operators=Counter(node.op for node in between if node.op != "Const"),
        places={node.op: node.name for node in between},
        cure=cure,
    )


def _named(flag: str, names: Sequence[str], nodes: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of tensors as names of nodes, which is what loaders take."""
    for name in names:
        if name.partition(":")[2] not in ("", "0"):
            raise Fault("bad-option", f"{flag}: {name}: only the first output of a node can be named")
    found = tuple(map(node_of, names))
    require(flag, found, list(nodes))
    return found


def _inner(node: Any) -> Port:
    """An input in the middle of a graph."""
    told = attributes(node)
    kind = next((told[key].type for key in ("DstT", "dtype", "T") if key in told), 1)
    return Port(node.name, (), graphdef.DTYPES.get(kind, "float32"), channels_last=True)


def _between(
    nodes: Mapping[str, Any],
    starts: Sequence[str],
    ends: Sequence[str],
    placeholders: Collection[str],
    cure: str,
) -> list[Any]:
    """The nodes that compute `ends` from `starts`."""
    seen: dict[str, Any] = {}
    waiting = [name for name in ends if name not in starts]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        if name in placeholders:
            raise Fault(
                "bad-option",
                f"--inputs and --outputs: {', '.join(ends)} also needs the input {name!r}",
                cure or "Name it among --inputs, or choose other --outputs.",
            )
        seen[name] = nodes[name]
        data = (each for each in nodes[name].input if not each.startswith("^"))
        waiting += [node_of(each) for each in data if node_of(each) not in starts]
    return list(seen.values())


def _cure(nodes: Mapping[str, Any], placeholders: Collection[str]) -> str:
    """Where the graph could be cut; empty without convolutions or without anything behind them."""
    order = _sorted(nodes)
    behind: set[str] = set()  # depends on a convolution
    static: set[str] = set()  # and on nothing dynamic, up to the convolutions' own inputs
    constant: set[str] = set()
    begins: dict[str, None] = {}
    for name in order:
        node = nodes[name]
        takes = [node_of(each) for each in node.input if not each.startswith("^")]
        of_shapes = node.op in _OF_SHAPES and static.issuperset(takes)
        if of_shapes or (name not in placeholders and constant.issuperset(takes)):
            constant.add(name)
        elif node.op in _CONVOLUTIONS and takes and behind.isdisjoint(takes):
            begins[_fed_by(nodes, takes[0])] = None
            behind.add(name)
            static.add(name)
        elif not behind.isdisjoint(takes):
            behind.add(name)
            if node.op not in _DYNAMIC and all(each in static or each in constant for each in takes):
                static.add(name)
    users: dict[str, list[str]] = {}
    for name in nodes:
        for each in nodes[name].input:
            users.setdefault(node_of(each), []).append(name)
    ends = [
        name
        for name in order
        if name in static
        and not any(user in static for user in users.get(name, ()))
        and any(user not in constant for user in users.get(name, ()))
    ]
    if not begins or not ends or len(begins) > _MOST_NAMED:
        return ""
    return (
        f"Cut it before, for example with --inputs {','.join(begins)} --input-sizes 1xHEIGHTxWIDTHx3 "
        f"--outputs {','.join(ends[-_MOST_NAMED:])}."
    )


def _fed_by(nodes: Mapping[str, Any], name: str) -> str:
    """The node that feeds a convolution, behind its padding."""
    for _ in range(len(nodes)):
        node = nodes[name]
        if node.op not in _AROUND or not node.input:
            break
        name = node_of(node.input[0])
    return name


def _sorted(nodes: Mapping[str, Any]) -> list[str]:
    """The nodes, each behind those that it takes; loops are cut where they close."""
    order: dict[str, None] = {}
    for first in nodes:
        waiting: list[tuple[str, bool]] = [(first, False)]
        open_: set[str] = set()
        while waiting:
            name, done = waiting.pop()
            if done:
                order[name] = None
            elif name not in order and name not in open_:
                open_.add(name)
                waiting.append((name, True))
                waiting += [(node_of(each), False) for each in nodes[name].input]
    return list(order)
