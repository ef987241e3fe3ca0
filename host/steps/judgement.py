"""Judges a result: its outputs against the float model's, and its boxes against those of the source."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from host.decoding.decoder import Detections, decode
from host.graph.channels import Layout, channel_layouts
from host.quality import detections
from host.quality.compare import compare, explain
from host.quality.observed import observed_layouts
from host.quality.reference import normalise, reference_outputs
from host.sources.native.model import NativeSource
from host.steps.models import Model
from host.steps.staging import Staged

CLASSIFY = "classify"
FEW = 8
"""Channels of an output in which each has something of its own to say."""


@dataclass(frozen=True)
class Reference:
    """What a result is compared with: the prepared float model's outputs, and what the source's decode to."""

    model: Model
    outputs: Mapping[str, NDArray[Any]]
    """By name, [images, *output shape]."""
    layouts: Mapping[str, Layout]
    detections: tuple[Detections, ...]
    """Of each image, where the head is known."""


def reference(staged: Staged, model: Model, folder: Path) -> Reference | None:
    """Run the float model on the held-out inputs in `folder`, and the source where its head was cut.

    None where that is left to the source's own framework.
    """
    prepared, source = model.prepared, staged.source
    if prepared is None or isinstance(source, NativeSource):
        return None
    arrays = held_out(staged, folder)
    named = {each.name: array for each, array in zip(source.inputs, arrays, strict=True)}
    outputs = reference_outputs(prepared.proto, named)
    found: tuple[Detections, ...] = ()
    if prepared.decode.known:
        same = prepared.decode.layout == prepared.source.layout
        own = outputs if same else reference_outputs(source.proto, named)
        found = tuple(decode(answers, prepared.source) for answers in zip(*own.values(), strict=True))
    return Reference(model, outputs, channel_layouts(prepared.proto), found)


def answered(model: Model, folder: Path, names: Sequence[str]) -> Reference | None:
    """What the source's own framework left in `folder`; None where it could not run the model."""
    arrays = {f"output {number}": array for number, array in enumerate(left(folder, names), 1)}
    named = dict(zip(model.source.outputs, arrays.values(), strict=False))
    outputs = named if len(named) == len(arrays) else arrays
    return Reference(model, outputs, observed_layouts(outputs), ()) if outputs else None


def held_out(staged: Staged, folder: Path) -> list[NDArray[Any]]:
    """The held-out inputs in `folder` as the model takes them: [samples, *shape] each."""
    return fed(staged, [np.load(folder / Path(path).name) for path in staged.heldout])


def fed(staged: Staged, arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """Staged samples, an array per input, as the model takes them.

    Images are in its order of colours; they and what is like them are normalised as the artefact does it,
    channels first.
    """
    values = []
    for number, (each, array) in enumerate(zip(staged.source.inputs, arrays, strict=True)):
        if staged.normalised[number]:
            mean, std = (staged.config[key][number] for key in ("mean_values", "std_values"))
            pictures = array[..., ::-1] if staged.blue_first[number] else array
            if array.dtype != np.uint8:
                pictures = array.reshape(-1, *each.shape[1:]).transpose(0, 2, 3, 1)
            array = normalise(pictures, mean, std)
        values.append(array.reshape(-1, *each.shape))
    return values


def left(folder: Path, names: Sequence[str]) -> list[NDArray[Any]]:
    """The outputs that a job left in `folder`: [samples, *output shape] each."""
    return [np.load(folder / name) for name in names]


def check(
    expected: Reference | None,
    answers: Sequence[NDArray[Any]],
    activation_bits: int | None,
    estimated: bool = False,
) -> dict[str, Any] | None:
    """A simulator's or an estimate's outputs against the float model's; None when either is not there."""
    if not answers or expected is None:
        return None
    checks = compare(answers, expected.outputs, expected.layouts, activation_bits)
    return {
        **checks.to_json(),
        "decoded": _decoded(expected, answers),
        "estimate": estimated,
        "explanation": explain(checks, estimated),
    }


def still(checks: Mapping[str, Any] | None) -> list[str]:
    """Warnings of outputs with few channels, half of them or more without any movement, which the model has.

    Scores of 0..1 may stand still: for classes that no input shows. Dead outputs are told elsewhere.
    """
    told = []
    for each in checks["outputs"] if checks else ():
        channels = each["shape"][each["channel_axis"]] if each["shape"] else 1
        low, high = each["reference_minimum"], each["reference_maximum"]
        beyond = low is not None and high is not None and (low < 0 or high > 1)
        dead = any(group["dead"] for group in each["groups"])
        lost = each["constant_channels"]
        if each["step"] and beyond and not dead and channels <= FEW and 2 * lost >= channels:
            told.append(
                f"output {each['name']!r}: {lost} of {channels} channels stand still that move in the model: "
                f"all share one scale with steps of {each['step']:.3g}. Give them outputs of their own"
            )
    return told


def _decoded(expected: Reference, answers: Sequence[NDArray[Any]]) -> dict[str, Any] | None:
    """How what the answers decode to compares with the source's own; None where the head is not known."""
    if not expected.detections:
        return None
    how = expected.model.decode
    found = [decode(each, how) for each in zip(*answers, strict=True)]
    if how.task == CLASSIFY:
        agreement = detections.compare_classes(expected.detections, found)
    else:
        agreement = detections.compare(expected.detections, found, how.nms)
    return {"task": how.task, **agreement.to_json()}
