"""Finds tensors whose one 8-bit scale would be shared by values of very different ranges.

Boxes in pixels beside scores in 0..1: with 255 levels over 640 pixels, every score rounds to zero. The graph
tells which channels are of one kind, and a run tells how far each kind reaches.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from host.graph.channels import Layout, channel_layouts

_LEVELS = 255
_ENOUGH = 16
"""Levels that a kind of values needs; a detector's scores are compared with thresholds in steps of 0.05."""


@dataclass(frozen=True)
class Mixed:
    """A tensor that mixes ranges."""

    tensor: str
    narrow: tuple[int, int]
    """Channels (first, one past the last) of the kind that suffers most."""
    narrow_range: float
    whole_range: float

    @property
    def levels(self) -> float:
        """How many of the 255 levels the narrow values get."""
        return _LEVELS * self.narrow_range / self.whole_range if self.whole_range else _LEVELS

    def __str__(self) -> str:
        first, stop = self.narrow
        return (
            f"{self.tensor!r} mixes ranges: of the 255 levels over {self.whole_range:.4g}, its channels "
            f"{first}-{stop - 1}, which span {self.narrow_range:.4g}, get {self.levels:.2g}"
        )


def shared(proto: ModelProto) -> dict[str, Layout]:
    """The outputs, and the Concats that glue values of 0..1 to others: whose ranges are worth a look."""
    return channel_layouts(proto, inner=True)


def mixed(arrays: Mapping[str, NDArray[Any]], seen: Mapping[str, Layout]) -> tuple[Mixed, ...]:
    """Those tensors in which a kind of values is left with fewer than 16 of 255 levels.

    Args:
        arrays: values of the tensors from a run, [1, ...].
        seen: what `shared` found.
    """
    found = (_of_tensor(name, array, seen[name]) for name, array in arrays.items())
    return tuple(each for each in found if each and each.levels < _ENOUGH)


def _of_tensor(name: str, array: NDArray[Any], layout: Layout) -> Mixed | None:
    if len(layout.groups) < 2:
        return None
    rows = np.moveaxis(array, layout.axis, 0)
    bounds = [
        # a score may reach 1, whatever noise gives
        (0.0, 1.0) if group.unit else _bounds(rows[group.start : group.stop])
        for group in layout.groups
    ]
    reach = [high - low for low, high in bounds]
    narrowest = int(np.argmin(reach))
    whole = max(high for _, high in bounds) - min(low for low, _ in bounds)
    group = layout.groups[narrowest]
    return Mixed(name, (group.start, group.stop), reach[narrowest], whole)


def _bounds(values: NDArray[Any]) -> tuple[float, float]:
    """What a scale must span: the values and zero."""
    return min(float(values.min()), 0.0), max(float(values.max()), 0.0)
