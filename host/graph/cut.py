"""Gives a graph with a recognised head the outputs of another layout."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from onnx import ModelProto

from host.decoding.contract import Decode, Output, Part
from host.graph.builder import Builder
from host.graph.decoded import Stride
from host.graph.layouts import Cut

AFTER_SIGMOID = {
    ("angle", "logit"): "half-turns",
    ("box", "anchor-logits"): "anchors",
    ("class", "logit"): "probability",
    ("objectness", "logit"): "probability",
}


@dataclass(frozen=True)
class _Made:
    """An output that is being built: its tensor, and what it will be (its name a wish)."""

    tensor: str
    output: Output


def to_branches(proto: ModelProto, branches: Decode, layout: str, cut: Cut) -> tuple[ModelProto, Decode]:
    """End the graph at the head's last convolutions, in the outputs that `cut` lists."""
    builder = Builder(proto)
    strides = [Stride(builder, branches, stride) for stride in branches.strides]
    made = [each for grid in strides for each in _of_stride(builder, grid, cut.per_stride)]
    made += [_whole(builder, branches, strides, wanted) for wanted in cut.whole]
    return _finished(builder, replace(branches, layout=layout), made)


def to_decoded(proto: ModelProto, branches: Decode, layout: str) -> tuple[ModelProto, Decode]:
    """Build the head's decoding into the graph.

    `end2end` gives all in one output [1, channels, candidates], coordinates as shares of the input size, so
    that one scale serves all in 8 bits; mask coefficients, which know no bounds, have an output of their own.
    `split` gives an output for each role, coordinates in pixels.
    """
    builder = Builder(proto)
    together = layout == "end2end"
    strides = [Stride(builder, branches, stride, normalised=together) for stride in branches.strides]
    widths = {part.role: part.channels for output in branches.outputs for part in output.parts}
    count, numbers = branches.keypoints
    left_out = {"points", "visibility"} if together else {"keypoints"}
    left_out |= {"visibility"} if numbers == 2 else set()
    made = [
        _joined(builder, branches, strides, Part(role, channels or widths[source], coding), build)
        for role, coding, build, source, channels in (
            ("box", "xywh", Stride.boxes, "box", 4),
            ("class", "probability", Stride.scores, "class", 0),
            ("mask", "linear", Stride.mask, "mask", 0),
            ("angle", "radians", Stride.angle, "angle", 0),
            ("keypoints", "xy", Stride.keypoints, "keypoints", 0),
            ("points", "xy", Stride.points, "keypoints", 2 * count),
            ("visibility", "probability", Stride.visibility, "keypoints", count),
        )
        if source in widths and role not in left_out
    ]
    if together:
        glued = [each for each in made if each.output.role != "mask"]
        parts = tuple(part for each in glued for part in each.output.parts)
        shape = (1, sum(part.channels for part in parts), branches.candidates)
        tensor = builder.node("Concat", *(each.tensor for each in glued), axis=1)
        apart = [each for each in made if each not in glued]
        made = [_Made(tensor, Output("detections", shape, parts)), *apart]
    if branches.task == "segment":
        made.append(_whole(builder, branches, strides, "prototypes"))
    return _finished(builder, replace(branches, layout=layout, normalised=together), made)


def _of_stride(builder: Builder, grid: Stride, wanted: Sequence[str]) -> Iterator[_Made]:
    """The outputs of one stride."""
    tensors: dict[str, str] = {}
    for each in wanted:
        if each == "score_sum":
            tensors[each] = builder.unit(builder.total(tensors["class*"], axis=1))
            parts = [Part("score_sum", 1, "probability")]
        else:
            tensors[each], parts = _branch(builder, grid, each.split("+"))
        name = "_".join([*(part.role for part in parts), str(grid.stride)])
        shape = (1, grid.anchors * sum(part.channels for part in parts), grid.height, grid.width)
        yield _Made(tensors[each], Output(name, shape, tuple(parts), grid.stride))


def _branch(builder: Builder, grid: Stride, wanted: Sequence[str]) -> tuple[str, list[Part]]:
    """One output of one stride and its parts. What one convolution holds is taken together."""
    stars = {each.rstrip("*"): each.endswith("*") for each in wanted}
    tensors: list[str] = []
    parts: list[Part] = []
    for (_, star), group in groupby(stars, key=lambda role: (grid.holder(role).name, stars[role])):
        roles = list(group)
        tensor, of_tensor = _sigmoid(builder, grid, roles) if star else _as_is(grid, roles)
        tensors.append(tensor)
        parts += of_tensor
    return builder.node("Concat", *tensors, axis=1) if len(tensors) > 1 else tensors[0], parts


def _as_is(grid: Stride, roles: Sequence[str]) -> tuple[str, list[Part]]:
    return grid.channels(roles, by_anchor=True), [grid.part(role) for role in roles]


def _sigmoid(builder: Builder, grid: Stride, roles: Sequence[str]) -> tuple[str, list[Part]]:
    """The roles after a sigmoid; as they are where they are no logits."""
    tensor, parts = _as_is(grid, roles)
    after = [AFTER_SIGMOID.get((part.role, part.coding)) for part in parts]
    if not all(after):
        return tensor, parts
    return builder.node("Sigmoid", tensor), [
        Part(part.role, part.channels, coding) for part, coding in zip(parts, after, strict=True) if coding
    ]


def _whole(builder: Builder, branches: Decode, strides: Sequence[Stride], wanted: str) -> _Made:
    """An output over the cells of all strides, or the prototypes."""
    if wanted == "prototypes":
        output = next(output for output in branches.outputs if output.role == wanted)
        return _Made(output.name, output)
    if wanted == "keypoints":
        return _keypoints(builder, branches, strides)
    role = wanted.rstrip("*")
    _, parts = _sigmoid(builder, strides[0], [role])
    return _joined(builder, branches, strides, parts[0], lambda grid: _sigmoid(builder, grid, [role])[0])


def _keypoints(builder: Builder, branches: Decode, strides: Sequence[Stride]) -> _Made:
    """Decoded keypoints, [1, keypoints, numbers, candidates]."""
    count, numbers = branches.keypoints
    made = [_joined(builder, branches, strides, Part("points", 2 * count, "xy"), Stride.points)]
    if numbers == 3:
        part = Part("visibility", count, "probability")
        made.append(_joined(builder, branches, strides, part, Stride.visibility))
    apart = [builder.node("Reshape", each.tensor, shape=(1, count, -1, branches.candidates)) for each in made]
    tensor = builder.node("Concat", *apart, axis=2) if len(apart) > 1 else apart[0]
    shape = (1, count, numbers, branches.candidates)
    return _Made(tensor, Output("keypoints", shape, (Part("keypoints", count * numbers, "xy"),)))


def _joined(
    builder: Builder, branches: Decode, strides: Sequence[Stride], part: Part, build: Callable[[Stride], str]
) -> _Made:
    """One role over the cells of all strides: [1, channels, candidates]."""
    pieces = [
        builder.node(
            "Reshape", build(grid), shape=(1, part.channels, grid.anchors * grid.width * grid.height)
        )
        for grid in strides
    ]
    tensor = builder.node("Concat", *pieces, axis=2) if len(pieces) > 1 else pieces[0]
    return _Made(tensor, Output(part.role, (1, part.channels, branches.candidates), (part,)))


def _finished(builder: Builder, decode: Decode, made: Sequence[_Made]) -> tuple[ModelProto, Decode]:
    outputs = tuple(replace(each.output, name=builder.name(each.tensor, each.output.name)) for each in made)
    proto = builder.finish([(output.name, output.shape) for output in outputs])
    return proto, replace(decode, outputs=outputs)
