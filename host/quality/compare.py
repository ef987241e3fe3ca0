"""Judges a conversion: the simulator's outputs against the float model's, and whether any of them died.

A cosine over a whole output hides a dead head: 80 channels of zeros beside boxes in pixels still give 0.9996.
So the judgement is made by channel group (see `channels`): can the group still tell one value from another?
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from host.graph.channels import Layout
from shared.faults import Fault

Death = Literal["", "constant", "coarse", "not finite"]

# The part of a group's range that must show in the output. For scores it is the usual confidence threshold:
# a smaller score that is rounded away loses no detection, and many images have no larger one.
_VISIBLE = 0.25

# Less movement than this, against the largest value, and the reference says nothing: an int8 scale of the
# group's own, which includes zero, would have four steps for it (an untrained head gives 2.000001 all over).
_STILL = 4 / 255


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How near the simulator (minimum, maximum) is to the reference, in the output's own unit.

    None for what is not finite.
    """

    cosine: float | None
    max_error: float | None
    mean_error: float | None
    minimum: float | None
    maximum: float | None
    reference_minimum: float | None
    reference_maximum: float | None


@dataclass(frozen=True, kw_only=True)
class GroupCheck(Fit):
    """Channels start..stop-1 of an output, and why they carry no information any more ("" = they do)."""

    start: int
    stop: int
    dead: Death


@dataclass(frozen=True, kw_only=True)
class OutputCheck(Fit):
    """One output.

    `shape` is that of one inference. `step` is the distance of two quantised values, 0 when not quantised.
    `constant_channels` stand still in the simulator and move in the reference: a healthy model has many, for
    classes that the images do not show.
    """

    name: str
    shape: tuple[int, ...]
    channel_axis: int
    step: float
    constant_channels: int
    groups: tuple[GroupCheck, ...]

    @property
    def dead_groups(self) -> tuple[GroupCheck, ...]:
        """The groups that carry no information any more."""
        return tuple(group for group in self.groups if group.dead)


@dataclass(frozen=True)
class Checks:
    """All outputs, compared on `images` held-out items."""

    images: int
    outputs: tuple[OutputCheck, ...]

    @property
    def verdict(self) -> Literal["ok", "dead"]:
        """Whether every channel group of every output is alive."""
        return "dead" if any(output.dead_groups for output in self.outputs) else "ok"

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `outputs[].groups[].dead` is empty for a group that is alive."""
        return {"verdict": self.verdict, **asdict(self)}


def compare(
    simulated: Sequence[NDArray[Any]],
    reference: Mapping[str, NDArray[Any]],
    layouts: Mapping[str, Layout],
    bits: int | None,
) -> Checks:
    """Compare K inferences.

    Args:
        simulated: every output's K answers stacked, [K, *shape], in the model's order.
        reference: the same from `reference_outputs`.
        layouts: from `channel_layouts`.
        bits: width of the activations, 8 or 16; None for a float file.

    Raises:
        Fault: artifact-invalid when the outputs are not those of the model.
    """
    if len(simulated) != len(reference):
        raise Fault(
            "artifact-invalid",
            f"The file has {len(simulated)} outputs, the source model {len(reference)}.",
        )
    outputs = []
    for values, (name, expected) in zip(simulated, reference.items(), strict=True):
        if values.size != expected.size:
            raise Fault(
                "artifact-invalid",
                f"Output {name!r} is {list(values.shape)} in the file, {list(expected.shape)} in the model.",
            )
        outputs.append(_check(name, values.reshape(expected.shape), expected, layouts[name], bits))
    return Checks(len(simulated[0]), tuple(outputs))


def explain(checks: Checks, estimated: bool = False) -> str:
    """A paragraph on every dead output: what is lost, and why. Empty when none is dead."""
    return "\n".join(
        ("By an estimate on the host, not the toolkit's own arithmetic: " if estimated else "")
        + _explain(output, checks.images, "in the estimate" if estimated else "in the simulator")
        for output in checks.outputs
        if output.dead_groups
    )


def _check(
    name: str, simulated: NDArray[Any], reference: NDArray[Any], layout: Layout, bits: int | None
) -> OutputCheck:
    shaped = [stacked if stacked.ndim > 1 else stacked[:, None] for stacked in (simulated, reference)]
    channels = [np.moveaxis(stacked, 1 + layout.axis, 0) for stacked in shaped]
    values, expected = (_numbers(array.reshape(len(array), -1)) for array in channels)
    step = _step(simulated, bits)
    return OutputCheck(
        **_fit(simulated, reference),
        name=name,
        shape=reference.shape[1:],
        channel_axis=layout.axis,
        step=step,
        constant_channels=int(np.sum((np.ptp(values, axis=1) == 0) & (np.ptp(expected, axis=1) > 0))),
        groups=tuple(
            GroupCheck(
                **_fit(values[part], expected[part]),
                start=group.start,
                stop=group.stop,
                dead=_death(values[part], expected[part], group.unit, step),
            )
            for group in layout.groups
            for part in (slice(group.start, group.stop),)
        ),
    )


def _numbers(values: NDArray[Any]) -> NDArray[Any]:
    return values.astype(np.uint8) if values.dtype == np.bool_ else values


def _fit(values: NDArray[Any], expected: NDArray[Any]) -> dict[str, Any]:
    """The fields of Fit."""
    ours, theirs = values.astype(np.float64).ravel(), expected.astype(np.float64).ravel()
    with np.errstate(invalid="ignore"):  # what is not finite becomes None
        error = np.abs(ours - theirs)
        norms = np.linalg.norm(ours) * np.linalg.norm(theirs)
        fit = {
            "cosine": ours @ theirs / norms if norms else np.float64(not error.any()),
            "max_error": error.max(),
            "mean_error": error.mean(),
            "minimum": ours.min(),
            "maximum": ours.max(),
            "reference_minimum": theirs.min(),
            "reference_maximum": theirs.max(),
        }
    return {name: float(value) if np.isfinite(value) else None for name, value in fit.items()}


def _step(values: NDArray[Any], bits: int | None) -> float:
    """The least distance that two values of a quantised output can have; 0 where it is in float, or labels.

    The quantised range covers at least what was seen, so this never overestimates.
    """
    if bits is None or values.dtype.kind not in "f":
        return 0.0
    finite = values[np.isfinite(values)]
    if not finite.size or len(np.unique(finite)) > 2**bits:
        return 0.0
    return float(np.ptp(finite) / (2**bits - 1))


def _death(values: NDArray[Any], expected: NDArray[Any], unit: bool, step: float) -> Death:
    """Judge the channels [C, values] of one group.

    A constant channel is no sign of death (a class that no image shows, a classifier that meets only one),
    and neither is a constant group whose reference hardly moves.
    """
    if not np.isfinite(expected).all():
        return ""
    if not np.isfinite(values).all():
        return "not finite"
    frozen = not np.ptp(values, axis=1).any()
    if expected.dtype.kind in "biu":  # labels, which have no distance
        return "constant" if frozen and np.mean(values != expected) > 0.5 else ""
    range_ = float(np.ptp(expected))
    if range_ <= _STILL * float(np.abs(expected).max()):
        return ""
    visible = _VISIBLE * (1.0 if unit else range_)
    moved = range_ if not np.ptp(values) else float(np.ptp(expected, axis=1).max())
    if frozen and max(moved, step) >= visible:
        return "constant"
    return "coarse" if step >= visible else ""


_SYMPTOMS: dict[Death, str] = {
    "constant": "never change",
    "coarse": "are rounded to a few values",
    "not finite": "are NaN or infinite",
}


def _channels(group: GroupCheck) -> str:
    last = group.stop - 1
    return f"channels {group.start} to {last}" if last > group.start else f"all values of channel {last}"


def _explain(output: OutputCheck, images: int, where: str) -> str:
    lost = "; ".join(
        f"{_channels(group)} {_SYMPTOMS[group.dead]} {where} "
        f"({group.reference_minimum:.3g} to {group.reference_maximum:.3g} in the model)"
        for group in output.dead_groups
    )
    cause = ""
    if output.step and len(output.groups) > 1:
        cause = (
            f". The whole output has one scale: its range of {output.minimum:.4g} to {output.maximum:.4g} "
            f"leaves steps of {output.step:.3g}, in which small values vanish"
        )
    return f"Output {output.name!r} is dead on {images} held-out items: {lost}{cause}."
