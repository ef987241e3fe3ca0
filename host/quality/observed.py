"""Which channels of an output belong together, seen from its values: for models whose graph is not read."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from host.graph.channels import Group, Layout

WIDE = 8.0
"""Beyond this the values of a channel are no probabilities, nor can they share a scale with some."""

ENOUGH = 64
"""Values of a channel below which staying within 0..1 may be chance."""


def observed_layouts(outputs: Mapping[str, NDArray[Any]]) -> dict[str, Layout]:
    """The channel groups of every output, by name.

    Channels that stay within 0..1 are kept apart from the others where some of those reach far beyond, as
    boxes in pixels do beside scores. Channels of few values tell nothing.

    Args:
        outputs: every output's K answers stacked, [K, *shape].
    """
    return {name: _layout(values) for name, values in outputs.items()}


def _layout(values: NDArray[Any]) -> Layout:
    axis = _channel_axis(values.shape[1:])
    channels = np.moveaxis(values, 1 + axis, 0) if values.ndim > 1 else values[None]
    rows = channels.reshape(len(channels), -1).astype(np.float64)
    unit = (rows.min(axis=1) >= 0) & (rows.max(axis=1) <= 1)
    wide = np.abs(rows).max(axis=1) > WIDE
    if not (unit.any() and wide.any()) or rows.shape[1] < ENOUGH:
        return Layout(axis, (Group(0, len(channels), bool(unit.all())),))
    stops = [0, *(np.flatnonzero(unit[1:] != unit[:-1]) + 1).tolist(), len(channels)]
    return Layout(axis, tuple(Group(start, stop, bool(unit[start])) for start, stop in pairwise(stops)))


def _channel_axis(shape: tuple[int, ...]) -> int:
    """The axis of the kinds of values, batch being axis 0: the shorter one of [1, cells, channels]."""
    if len(shape) == 3:
        return 1 if shape[1] <= shape[2] else 2
    if len(shape) == 4:  # [1, C, H, W] or [1, H, W, C]: width and height are equal or near to it
        return 1 if abs(shape[2] - shape[3]) <= abs(shape[1] - shape[2]) else 3
    return 1 if len(shape) == 2 else 0
