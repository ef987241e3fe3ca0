"""All readings of a head that its channel counts allow: what each convolution holds, and how it was glued."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations, product
from math import prod

from host.decoding.contract import Decode, Output, Part
from host.graph.families import EXTRAS, FAMILIES, Extra, Family

Shape = tuple[int, ...]
Tensor = tuple[str, Shape]

_DECODED = (("xywh", False), ("xyxy", False), ("xywh", True), ("xyxy", True))
_MOST_ROLES = 3
_BINS = (8, 16)  # of heads that keep them beside the classes, where their number cannot be counted


@dataclass(frozen=True)
class Surface:
    """What can be seen of a head without understanding it."""

    branches: Mapping[int, Sequence[Tensor]]
    """The last convolutions of each stride, in the graph's order; every stride has the same."""
    glued: tuple[Tensor, ...]
    """The output that holds all boxes and what belongs to them, or an output for each of that."""
    images: tuple[Output, ...]
    """The outputs that are images of their own: prototypes."""
    input_size: tuple[int, int]

    @property
    def cells(self) -> int:
        """Of all strides."""
        return sum(prod(tensors[0][1][2:]) for tensors in self.branches.values())


def surface(
    branches: Mapping[str, Shape], outputs: Mapping[str, Shape], input_size: tuple[int, int]
) -> Surface | None:
    """Sort branches by stride and outputs by kind; None when this is no detector that decodes its boxes."""
    strides: dict[int, list[Tensor]] = {}
    for name, shape in branches.items():
        stride = _stride(shape, input_size)
        strides.setdefault(stride, []).append((name, shape))
    alike = {tuple(shape[1] for _, shape in tensors) for stride, tensors in strides.items() if stride}
    glued = tuple((name, shape) for name, shape in outputs.items() if len(shape) == 3)
    images = tuple(
        Output(name, shape, (Part("prototypes", shape[1], "linear"),))
        for name, shape in outputs.items()
        if len(shape) == 4
    )
    if 0 in strides or len(alike) != 1 or not 1 <= len(glued) <= _MOST_ROLES or len(images) > 1:
        return None
    return Surface(dict(sorted(strides.items())), glued, images, input_size)


def _stride(shape: Shape, input_size: tuple[int, int]) -> int:
    """Input pixels per cell; 0 for a tensor that is no grid over the input."""
    if len(shape) != 4 or shape[0] != 1:
        return 0
    stride = round(input_size[0] / shape[3])
    return stride if tuple(-(-length // stride) for length in input_size) == (shape[3], shape[2]) else 0


def readings(seen: Surface) -> Iterator[tuple[Decode, Decode]]:
    """What the outputs may mean, each with what the branches would then mean."""
    for (key, family), extra in product(FAMILIES.items(), (None, *EXTRAS)):
        if (extra is not None and extra.role == "mask") != bool(seen.images):
            continue
        if extra and not any("extra" in slot for slot in family.slots):
            continue
        for slots in _slots(family, extra, seen):
            for keypoints in _keypoints(slots):
                branches = _branches(key, family, slots, keypoints, seen)
                branches = replace(branches, task=extra.task if extra else "detect")
                for own in _own(branches, family, extra, seen):
                    yield own, branches


@dataclass(frozen=True)
class _Slot:
    """What one convolution of each stride holds; `place` is its position among the stride's."""

    place: int
    parts: tuple[Part, ...]
    anchors: int


def _slots(family: Family, extra: Extra | None, seen: Surface) -> Iterator[tuple[_Slot, ...]]:
    """The ways to deal the convolutions and their channels out to the family's roles."""
    wanted = [roles for slot in family.slots if (roles := _roles(slot, extra))]
    channels = [shape[1] for _, shape in next(iter(seen.branches.values()))]
    if len(channels) != len(wanted):
        return
    cells = seen.cells
    counts = (
        {length // cells for length in seen.glued[0][1][1:] if length % cells == 0} if family.anchors else {1}
    )
    masks = seen.images[0].shape[1] if seen.images else 0
    for anchors, order in product(counts, permutations(range(len(wanted)))):
        if any(channels[place] % anchors for place in order):
            continue
        choices = [
            [
                _Slot(place, parts, anchors)
                for parts in _parts(roles, channels[place] // anchors, family, extra, masks)
            ]
            for roles, place in zip(wanted, order, strict=True)
        ]
        yield from product(*choices)


def _roles(slot: str, extra: Extra | None) -> tuple[str, ...]:
    roles = [extra.role if role == "extra" and extra else role for role in slot.split("+")]
    return tuple(role for role in roles if role != "extra")


def _parts(
    roles: Sequence[str], channels: int, family: Family, extra: Extra | None, masks: int
) -> Iterator[tuple[Part, ...]]:
    """The ways to deal one convolution's channels out to its roles."""
    fixed = {"objectness": 1, "angle": 1, "mask": masks} | ({} if family.box == "bins" else {"box": 4})
    rest = channels - sum(fixed.get(role, 0) for role in roles)
    free = [role for role in roles if role not in fixed]
    if len(free) > 1 and set(free) != {"box", "class"}:
        return
    if len(free) == 2:
        ways = [{"box": 4 * bins, "class": rest - 4 * bins} for bins in _BINS]
    else:
        ways = [dict.fromkeys(free, rest)]
    codings = {"box": family.box, "class": family.classes, "objectness": "logit"}
    for way, coding in product(ways, extra.codings if extra and extra.role in roles else ("",)):
        widths = fixed | way
        parts = tuple(Part(role, widths[role], codings.get(role, coding)) for role in roles)
        if sum(part.channels for part in parts) == channels and all(map(_possible, parts)):
            yield parts


def _possible(part: Part) -> bool:
    if part.coding == "bins":
        return part.channels % 4 == 0 and part.channels > 4
    return part.channels > 0


def _keypoints(slots: Sequence[_Slot]) -> Iterator[tuple[int, int]]:
    """How many keypoints, and numbers for each, the channels may hold; (0, 0) without keypoints."""
    channels = sum(part.channels for slot in slots for part in slot.parts if part.role == "keypoints")
    yield from (
        (channels // numbers, numbers if channels else 0)
        for numbers in ((3, 2) if channels else (1,))
        if channels % numbers == 0
    )


def _branches(
    key: str, family: Family, slots: Sequence[_Slot], keypoints: tuple[int, int], seen: Surface
) -> Decode:
    widths = {part.role: part.channels for slot in slots for part in slot.parts}
    outputs = [
        Output(*tensors[slot.place], slot.parts, stride)
        for stride, tensors in seen.branches.items()
        for slot in slots
    ]
    return Decode(
        family=key,
        task="detect",
        layout="raw",
        outputs=(*outputs, *seen.images),
        input_size=seen.input_size,
        classes=widths["class"],
        strides=tuple(seen.branches),
        reg_max=widths["box"] // 4 if family.box == "bins" else 0,
        anchors=(((0.0, 0.0),) * slots[0].anchors,) * len(seen.branches) if family.anchors else (),
        keypoints=keypoints,
    )


def _own(branches: Decode, family: Family, extra: Extra | None, seen: Surface) -> Iterator[Decode]:
    """The readings of the glued outputs, given what the branches mean."""
    parts = {part.role: part for output in branches.outputs for part in output.parts}
    parts["class"] = Part("class", branches.classes, "probability")
    parts["objectness"] = Part("objectness", 1, "probability")
    tail = [Part(extra.role, parts[extra.role].channels, extra.glued)] if extra else []
    roles = [role for role in family.glued if role != "extra"]
    for coding, normalised in _DECODED:
        parts["box"] = Part("box", 4, coding)
        for found in _glued([*(parts[role] for role in roles), *tail], seen, branches.candidates):
            yield replace(branches, outputs=(*found, *seen.images), normalised=normalised)
        rows = [parts["box"], Part("score", 1, "probability"), Part("label", 1, "index"), *tail]
        for found in _glued(rows, seen, None):
            yield replace(branches, outputs=(*found, *seen.images), normalised=normalised, nms=False)
    parts["box"] = next(part for output in branches.outputs for part in output.parts if part.role == "box")
    for found in _glued([*(parts[role] for role in roles), *tail], seen, branches.candidates):
        yield replace(branches, outputs=(*found, *seen.images))


def _glued(order: Sequence[Part], seen: Surface, candidates: int | None) -> Iterator[tuple[Output, ...]]:
    """The ways in which the outputs can hold these parts, all in one or each in its own."""
    groups = [tuple(order)] if len(seen.glued) == 1 else [(part,) for part in order]
    for arranged in permutations(groups, len(groups) if len(groups) == len(seen.glued) else 0):
        ways = [
            [
                Output(name, shape, group, 0, last)
                for last, (channels, others) in ((False, shape[1:]), (True, shape[:0:-1]))
                if channels == sum(part.channels for part in group) and candidates in (None, others)
            ]
            for group, (name, shape) in zip(arranged, seen.glued, strict=False)
        ]
        yield from (found for found in product(*ways) if found)
