"""Recognises a detector's head by what it computes, not by its names.

The last convolutions are found by walking back from the outputs. Their channel counts allow a few readings.
Each is tried with the reference decoder on one random input, and only a reading that reproduces the model's
own decoded output is believed. A head that no reading explains is unknown and left alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, ValueInfoProto

from host.decoding.contract import Decode, Output, Part
from host.decoding.decoder import decode, sigmoid
from host.graph.apart import of_outputs
from host.graph.cut import AFTER_SIGMOID
from host.graph.proof import same
from host.graph.readings import readings, surface
from host.graph.walk import ends
from host.sources.onnx.trial import random_inputs, run
from host.sources.onnx.view import View

Array = NDArray[np.float32]

_REACHING = "anchor-exponents"
"""The coding of boxes whose centres have a reach of their own."""


@dataclass(frozen=True)
class Head:
    """A head that was understood."""

    own: Decode
    """What the model's outputs mean as they are."""
    branches: Decode | None
    """What the last convolutions mean; the names of its outputs are those of tensors inside the graph.

    None where the outputs are no decoded whole that could prove it.
    """


@dataclass(frozen=True)
class Trial:
    """One run of the source model."""

    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]
    branches: Mapping[str, Array]


def try_out(proto: ModelProto) -> Trial:
    """Run a model once on random input and keep the ends of its body besides its outputs.

    Raises:
        TrialError: the model does not run.
    """
    view = View(proto)
    glued = [name for name in view.outputs if len(view.shapes[name]) != 4]
    names = [name for name in ends(view, glued) if name not in view.outputs]
    inputs = random_inputs(proto)
    arrays = dict(zip([*view.outputs, *names], run(with_outputs(proto, names), inputs), strict=True))
    return Trial(
        inputs, {name: arrays[name] for name in view.outputs}, {name: arrays[name] for name in names}
    )


def with_outputs(proto: ModelProto, names: Sequence[str]) -> ModelProto:
    """The model with some of its inner tensors as further outputs."""
    if not names:
        return proto
    wider = ModelProto()
    wider.CopyFrom(proto)
    wider.graph.output.extend(ValueInfoProto(name=name) for name in names)
    return wider


def recognise(trial: Trial) -> Head | None:
    """What the head is: by what it computes, else by how its outputs look."""
    images = [array.shape for array in trial.inputs.values() if array.ndim == 4]
    arrays = [*trial.outputs.values(), *trial.branches.values()]
    if len(images) != 1 or any(array.dtype != np.float32 for array in arrays):
        return None
    input_size = (images[0][3], images[0][2])
    proved = _proved(trial, input_size)
    if proved:
        return proved
    own = of_outputs(trial.outputs, input_size)
    return Head(own, _undecoded(own, trial)) if own else None


def _proved(trial: Trial, input_size: tuple[int, int]) -> Head | None:
    """The first reading of the branches that gives the model's own output."""
    seen = surface(_shapes(trial.branches), _shapes(trial.outputs), input_size)
    if seen is None:
        return None
    backwards = replace(seen, branches=dict(sorted(seen.branches.items(), reverse=True)))
    arrays = {**trial.branches, **trial.outputs}
    for own, branches in chain(readings(seen), readings(backwards)):
        branches = _measured(branches, trial, own)
        own = replace(own, anchors=branches.anchors, reach=branches.reach)
        if same(own, trial.outputs, branches, arrays):
            return Head(own, replace(branches, nms=own.nms))
    return None


def _undecoded(own: Decode, trial: Trial) -> Decode | None:
    """The branches behind outputs that only move their values, or put them through a sigmoid."""
    if own.layout != "raw" or not all(output.stride for output in own.outputs):
        return None
    before = {(role, after): coding for (role, coding), after in AFTER_SIGMOID.items()}
    outputs = []
    for stride, (width, height) in zip(own.strides, own.cells, strict=True):
        slots = [
            tuple(Part(p.role, p.channels, before.get((p.role, p.coding), p.coding)) for p in output.parts)
            for output in own.outputs
            if output.stride == stride
        ]
        tensors = [(name, a.shape) for name, a in trial.branches.items() if a.shape[2:] == (height, width)]
        if len(tensors) == 1:
            slots = [tuple(part for parts in slots for part in parts)]
        outputs += [Output(*tensor, parts, stride) for tensor, parts in zip(tensors, slots, strict=False)]
    anchors = max(map(len, own.anchors), default=1)
    channels = [anchors * sum(part.channels for part in output.parts) for output in outputs]
    branches = replace(own, outputs=tuple(outputs))
    if _roles(own) != _roles(branches) or channels != [output.shape[1] for output in outputs]:
        return None
    return branches if same(own, trial.outputs, branches, trial.branches) else None


_SIZES: Mapping[str, Callable[[Array], Array]] = {
    "anchor-exponents": np.exp,
    "anchor-logits": lambda values: (2 * sigmoid(values)) ** 2,
}
"""What an anchor is multiplied by, by the coding of boxes."""


def _measured(branches: Decode, trial: Trial, own: Decode) -> Decode:
    """The anchors in pixels and the reach of centres that turn the branches' values into the own boxes."""
    finished = any(part.coding in ("xywh", "xyxy") for output in own.outputs for part in output.parts)
    if not branches.anchors or not finished or not own.nms:
        return branches
    expected = decode(trial.outputs, replace(own, anchors=()))
    low, high = expected.boxes[:, :2], expected.boxes[:, 2:]
    coding = branches.outputs[0].parts[0].coding
    anchors, reach, start = [], [], 0
    for output, stride, (width, height), of_stride in zip(
        branches.outputs, branches.strides, branches.cells, branches.anchors, strict=False
    ):
        count, cells = len(of_stride), width * height
        here = slice(start, start + count * cells)
        start += count * cells
        values = trial.branches[output.name].reshape(count, -1, cells).transpose(0, 2, 1)
        with np.errstate(all="ignore"):  # random weights can make infinite boxes: they prove nothing
            sizes = (high - low)[here].reshape(count, cells, 2) / _SIZES[coding](values[..., 2:4])
            y, x = np.divmod(np.arange(cells), width)
            centre = ((low + high) / 2)[here].reshape(count, cells, 2) / stride
            within = centre - np.stack([x, y], axis=1) - 0.5
            ratios = (within / (sigmoid(values[..., :2]) - 0.5)).ravel()
        anchors.append(tuple((float(w), float(h)) for w, h in np.median(sizes, axis=1)))
        reach.append(round(float(np.median(ratios)), 4))
    return replace(branches, anchors=tuple(anchors), reach=tuple(reach) if coding == _REACHING else ())


def _roles(how: Decode) -> set[tuple[int, str]]:
    return {(output.stride, part.role) for output in how.outputs for part in output.parts}


def _shapes(arrays: Mapping[str, Array]) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in arrays.items()}
