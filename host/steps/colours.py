"""The order in which a model takes the colours of images, and how a toolkit is told.

Staged images are red first always. Toolkits have defaults of their own, one of them by the model's format, so
theirs are not relied on.
"""

from collections.abc import Sequence
from typing import Any

from host.calibration.images import image_size
from host.settings import ORDERS, Settings
from host.sources.source import TensorSpec
from shared.chips import Toolkit
from shared.faults import Fault

CHANNELS = 3
"""Of an image that is not grey."""


def blue_first(settings: Settings, inputs: Sequence[TensorSpec]) -> tuple[bool, ...]:
    """Of each input, whether it takes images in colour, and blue first.

    Raises:
        Fault: bad-option where the setting is for other inputs than the model has.
    """
    orders = settings.color or ORDERS[:1]
    if len(orders) == 1:
        orders *= len(inputs)
    if len(orders) != len(inputs):
        raise Fault(
            "bad-option",
            f"--color has {len(orders)} orders, the model has {len(inputs)} input{'s'[: len(inputs) > 1]}",
            "Give one order, or one for each input.",
        )
    if settings.color and not any(map(_in_colour, inputs)):
        raise Fault("bad-option", "--color: no input of the model takes images in colour", "Leave it out.")
    return tuple(order != ORDERS[0] and _in_colour(each) for order, each in zip(orders, inputs, strict=True))


def option(
    inputs: Sequence[TensorSpec], toolkit: Toolkit, blue: Sequence[bool], arrays: bool
) -> dict[str, Any]:
    """What the toolkit's `config` is told, for every input; empty where its default is right.

    Without the setting nothing is said where some inputs take no images in colour: a toolkit that chooses by
    itself documents its option for such images alone.

    Raises:
        Fault: bad-option for arrays that the toolkit might turn, too.
    """
    known = toolkit.colours
    if not any(blue) and (not known.inside or not all(map(_in_colour, inputs))):
        return {}
    if arrays and any(blue) and known.inside:
        raise Fault(
            "bad-option",
            f"--color: {toolkit.package} turns the colours of images, and whether those of arrays is unknown",
            "Give images for a dataset.",
        )
    values = [known.blue_first if each else known.red_first for each in blue]
    return {known.option: known.between.join(values) if known.between else values}


def _in_colour(tensor: TensorSpec) -> bool:
    size = image_size(tensor.shape, tensor.channels_last)
    return size is not None and size.channels == CHANNELS
