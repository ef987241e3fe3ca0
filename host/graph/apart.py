"""Recognises outputs that are not glued: cut exports (airockchip's forks, rkforge's own), SSD, classifiers.

Nothing decoded is there to be reproduced. What can be checked: channel counts, which values lie in 0..1, and
that a score_sum is the sum of its classes. Such graphs are left as they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from host.decoding.contract import Decode, Output, Part
from host.graph.cut import AFTER_SIGMOID
from host.graph.families import EXTRAS, FAMILIES, Family
from host.graph.layouts import CUTS, Cut

Array = NDArray[np.float32]
Size = tuple[int, int]

_STRIDES = (4, 8, 16, 32, 64, 128)
_BINS = 16  # of boxes that share an output with classes, where they cannot be counted
_ANCHORS = 3  # likewise
# codings whose values pass 0..1
_OPEN = (
    *("anchor-exponents", "anchor-logits", "bins", "centre+t", "corner+2t", "exponents", "logit", "softmax"),
)


@dataclass(frozen=True)
class _Grid:
    """An output over the cells of one stride."""

    name: str
    array: Array
    stride: int
    channels_last: bool

    @property
    def channels(self) -> int:
        """Of all anchors."""
        shape: tuple[int, ...] = self.array.shape
        return (shape[1] if len(shape) == 5 else 1) * shape[-1 if self.channels_last else 1]

    def channel_range(self, start: int, stop: int) -> Array:
        """The values of some channels, where there are no anchors."""
        return self.array[..., start:stop] if self.channels_last else self.array[:, start:stop]


def of_outputs(outputs: Mapping[str, Array], input_size: Size) -> Decode | None:
    """What the outputs of a graph mean by their shapes and values; None when no layout fits.

    Args:
        outputs: of one run, in the model's order.
        input_size: width and height in pixels.
    """
    return _classifier(outputs, input_size) or _cut(outputs, input_size) or _ssd(outputs, input_size)


def _classifier(outputs: Mapping[str, Array], input_size: Size) -> Decode | None:
    """One row of shares that sum to 1."""
    (name, array), *others = outputs.items()
    if others or array.size < 2 or array.size != prod(array.shape[:2]) or not _unit([array]):
        return None
    if abs(float(array.sum()) - 1) > 1e-3:
        return None
    output = Output(name, array.shape, (Part("class", array.size, "probability"),))
    return Decode("classifier", "classify", "raw", (output,), input_size, array.size)


def _ssd(outputs: Mapping[str, Array], input_size: Size) -> Decode | None:
    """Boxes and scores side by side; the prior boxes are in no graph."""
    if [array.ndim for array in outputs.values()] != [3, 3]:
        return None
    boxes, scores = sorted(outputs, key=lambda name: outputs[name].shape[2])
    classes = outputs[scores].shape[2]
    if outputs[boxes].shape[1:] != (outputs[scores].shape[1], 4):
        return None
    coding = "probability" if _unit([outputs[scores]]) else "logit"
    parts = {boxes: Part("box", 4, "unknown"), scores: Part("class", classes, coding)}
    found = tuple(
        Output(name, array.shape, (parts[name],), channels_last=True) for name, array in outputs.items()
    )
    return Decode("ssd", "detect", "raw", found, input_size, classes)


def _cut(outputs: Mapping[str, Array], input_size: Size) -> Decode | None:
    """Outputs for each stride, as one of the layouts has them; those over all strides come last."""
    for layout, cuts in CUTS.items():
        for (family, task), cut in cuts.items():
            found = _as_layout(outputs, input_size, FAMILIES[family], cut)
            if found:
                strides = tuple(sorted({output.stride for output in found if output.stride}))
                parts = {part.role: part for output in found for part in output.parts}
                points = parts["keypoints"].channels if "keypoints" in parts else 0
                numbers = 2 if points % 3 else 3
                usual = all(not output.channels_last for output in found)
                return Decode(
                    family=family,
                    task=task,
                    layout=layout if usual else "raw",
                    outputs=found,
                    input_size=input_size,
                    classes=parts["class"].channels,
                    strides=strides,
                    reg_max=parts["box"].channels // 4 if parts["box"].coding == "bins" else 0,
                    anchors=(((0.0, 0.0),) * _ANCHORS,) * len(strides) if FAMILIES[family].anchors else (),
                    keypoints=(points // numbers, numbers) if points else (0, 0),
                )
    return None


def _as_layout(
    outputs: Mapping[str, Array], input_size: Size, family: Family, cut: Cut
) -> tuple[Output, ...] | None:
    """The outputs as this layout has them."""
    whole: dict[str, str] = dict(zip(cut.whole[::-1], list(outputs)[::-1], strict=False))
    grids = [_grid(name, array, input_size) for name, array in outputs.items() if name not in whole.values()]
    columns: dict[int, list[_Grid]] = {}
    for grid in grids:
        if grid:
            columns.setdefault(grid.stride, []).append(grid)
    starred = any("*" in spec for spec in cut.per_stride)
    if family.anchors and not starred:  # nothing to check: such channels may mean much
        return None
    if None in grids or {len(column) for column in columns.values()} != {len(cut.per_stride)}:
        return None
    cells = sum(grid.array.size // grid.channels for grid in grids[:: len(cut.per_stride)] if grid)
    if not all(_spans(role, outputs[name].shape, cells) for role, name in whole.items()):
        return None
    masks = outputs[whole["prototypes"]].shape[1] if "prototypes" in whole else 0
    found: dict[str, Output] = {}
    for spec, *slot in zip(cut.per_stride, *columns.values(), strict=True):
        parts = _parts(spec, slot, family, masks)
        if not parts:
            return None
        found |= {
            grid.name: Output(grid.name, grid.array.shape, parts, grid.stride, grid.channels_last)
            for grid in slot
        }
    if "score_sum" in cut.per_stride and not all(map(_sums, columns.values())):
        return None
    found |= {name: _whole(role, name, outputs[name]) for role, name in whole.items()}
    return tuple(found[name] for name in outputs)


def _grid(name: str, array: Array, input_size: Size) -> _Grid | None:
    """An output over the cells of one stride; the channels lie first or last."""
    if array.ndim < 3:
        return None
    for stride in _STRIDES:
        width, height = (-(-length // stride) for length in input_size)
        if array.ndim == 4 and array.shape[2:] == (height, width):
            return _Grid(name, array, stride, False)
        if array.shape[1:-1] in ((width * height,), (height, width), (array.shape[1], height, width)):
            return _Grid(name, array, stride, True)
    return None


def _parts(spec: str, slot: Sequence[_Grid], family: Family, masks: int) -> tuple[Part, ...]:
    """The parts of one output of every stride; none where its channels or values do not allow them."""
    roles = [role.rstrip("*") for role in spec.split("+")]
    anchors = _ANCHORS if family.anchors else 1
    widths = _widths(roles, slot[0].channels // anchors, family, masks)
    if 0 in widths or any(grid.channels != anchors * sum(widths) for grid in slot):
        return ()
    parts = []
    start = 0
    for starred, role, width in zip(spec.split("+"), roles, widths, strict=True):
        values = [grid.array if family.anchors else grid.channel_range(start, start + width) for grid in slot]
        coding = _coding(role, family)
        after = AFTER_SIGMOID.get((role, coding)) if starred != role else None
        if family.anchors and slot[0].array.ndim == 5:  # exported before their sigmoid
            after = None
        elif coding in _OPEN and _unit(values) != bool(after):
            return ()
        parts.append(Part(role, width, after or coding))
        start += width
    return tuple(parts)


def _widths(roles: Sequence[str], channels: int, family: Family, masks: int) -> list[int]:
    """Channels of each role; 0 where they do not fit."""
    bins = family.box == "bins"
    fixed = {"objectness": 1, "score_sum": 1, "angle": 1, "mask": masks}
    if not bins or len(roles) > 1:
        fixed["box"] = 4 * _BINS if bins else 4
    rest = channels - sum(fixed.get(role, 0) for role in roles)
    if (roles == ["box"] and bins and (rest % 4 or rest == 4)) or (roles == ["keypoints"] and rest < 4):
        return [0]
    return [fixed.get(role, max(rest, 0)) for role in roles]


def _coding(role: str, family: Family) -> str:
    """How the last convolutions hold a role."""
    known = {
        "box": family.box,
        "class": family.classes,
        "objectness": "logit",
        "score_sum": "probability",
    }
    known |= {extra.role: extra.codings[0 if family.box == "bins" else -1] for extra in EXTRAS}
    return known[role]


def _sums(column: Sequence[_Grid]) -> bool:
    """Whether the third output is the sum of the second, at most 1."""
    classes, total = column[1].array, column[2].array
    return np.allclose(total, classes.sum(axis=1, keepdims=True).clip(0, 1), atol=1e-3)


def _spans(role: str, shape: tuple[int, ...], cells: int) -> bool:
    """Whether an output has the shape of one over the cells of all strides, or of an image."""
    if role == "prototypes":
        return len(shape) == 4 and shape[2] * shape[3] > cells
    return len(shape) == (4 if role == "keypoints" else 3) and shape[-1] == cells


def _whole(role: str, name: str, array: Array) -> Output:
    """An output over the cells of all strides, or an image."""
    role = role.rstrip("*")
    codings = {"keypoints": "xy", "angle": "half-turns" if _unit([array]) else "radians"}
    channels = prod(array.shape[1:-1]) if role in codings else array.shape[1]
    return Output(name, array.shape, (Part(role, channels, codings.get(role, "linear")),))


def _unit(arrays: Sequence[Array]) -> bool:
    return all(float(array.min()) >= 0 and float(array.max()) <= 1 for array in arrays)
