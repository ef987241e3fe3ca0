"""Mean and standard deviation: which inputs a toolkit normalises, and with which numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from host.calibration.images import channels_first, image_size
from host.settings import Settings
from host.sources.source import TensorSpec
from shared.faults import Fault

MEAN, STD = (0.0,), (255.0,)
"""Of images, where nothing is said."""
MOST_CHANNELS = 4
"""Of an input that looks like images: red, green, blue and transparency, or depth."""
FRACTIONS = 8
"""Pixels have values beyond this; what was normalised has none."""
PIXELS = ("uint8", "int8")
"""Input types of models that take pixels as integers; toolkits ignore mean and std for them."""


def wanted(settings: Settings, inputs: Sequence[TensorSpec]) -> tuple[bool, ...]:
    """Which inputs the toolkit normalises: those that take images; without any, what looks like some.

    The latter have four axes, channels first, any batch and up to four channels: toolkits normalise them as
    images, and who gives a mean or a std wants that.

    Raises:
        Fault: bad-option when a mean or a std is given, and no input takes it.
    """
    images = tuple(bool(image_size(each.shape, each.channels_last)) for each in inputs)
    flags = [flag for flag, given in (("--mean", settings.mean), ("--std", settings.std)) if given]
    if any(images) or not flags:
        return images
    alike = tuple(
        len(each.shape) == 4 and _channels(each) <= MOST_CHANNELS and each.dtype.startswith("float")
        for each in inputs
    )
    if not any(alike):
        shapes = ["x".join(map(str, each.shape)) for each in inputs]
        told = ", ".join(f"{each.name!r} is {shape}" for each, shape in zip(inputs, shapes, strict=True))
        raise Fault(
            "bad-option",
            f"{' and '.join(flags)}: toolkits normalise inputs of floats whose shape is batch x channels x "
            f"height x width, with 1 to {MOST_CHANNELS} channels, and this model has none: {told}",
            "Leave it out and normalise in your program and your .npy files, or export the model with its "
            "channels first.",
        )
    return alike


def values(settings: Settings, inputs: Sequence[TensorSpec], normalised: Sequence[bool]) -> dict[str, Any]:
    """mean_values and std_values of a toolkit's `config`, one list for each input; neither without need.

    Raises:
        Fault: bad-option when there are other numbers than channels.
    """
    if not any(normalised):
        return {}
    numbers: dict[str, Any] = {}
    for key, name, given, neutral in (
        ("mean_values", "mean", settings.mean or MEAN, 0.0),
        ("std_values", "std", settings.std or STD, 1.0),
    ):
        numbers[key] = [
            _per_channel(name, given, _channels(each))
            if taken and each.dtype not in PIXELS
            else [neutral] * _channels(each)
            for each, taken in zip(inputs, normalised, strict=True)
        ]
    return numbers


def left_out(settings: Settings, inputs: Sequence[TensorSpec], normalised: Sequence[bool]) -> list[str]:
    """Says of which inputs what was asked for is not true."""
    left = [
        repr(each.name)
        for each, taken in zip(inputs, normalised, strict=True)
        if (settings.mean or settings.std) and (not taken or each.dtype in PIXELS)
    ]
    return [f"mean and std do not apply to {', '.join(left)}: not normalised"] if left else []


def twice(samples: NDArray[Any], numbers: Mapping[str, Any]) -> list[str]:
    """A warning where samples of the first input look normalised already, and would be so again.

    Args:
        samples: as the user gave them.
        numbers: from `values`.
    """
    by = max(*numbers["mean_values"][0], *numbers["std_values"][0]) if numbers else 0
    most = float(np.abs(samples).max())
    if by <= FRACTIONS or most > FRACTIONS:
        return []
    return [
        f"the dataset's arrays hold values up to {most:.3g}, and mean and std are for pixels of 0 to 255: "
        "the artefact normalises them once more. Give arrays of 0 to 255, or --mean 0 --std 1"
    ]


def _channels(tensor: TensorSpec) -> int:
    shape = channels_first(tensor.shape) if tensor.channels_last else tensor.shape
    return shape[min(1, len(shape) - 1)]


def _per_channel(name: str, given: tuple[float, ...], channels: int) -> list[float]:
    """One number per channel; a single or repeated number serves any count."""
    if len(given) == channels:
        return list(given)
    if len(set(given)) == 1:
        return [given[0]] * channels
    raise Fault(
        "bad-option",
        f"--{name} has {len(given)} numbers, the input has {channels} channel{'s'[: channels > 1]}",
        "Give one number, or one per channel.",
    )
