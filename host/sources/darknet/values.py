"""The values that layers have given so far, as images or as rows, whichever the next layer needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

import numpy as np
from numpy.typing import NDArray

from host.sources.darknet.layers import IMAGE, Layer, Shape
from host.sources.darknet.writer import Writer

Numbers = Mapping[str, NDArray[np.float32]]
"""One layer's weights by name."""

INPUT = "data"


@dataclass
class Values:
    """Tensors by the layer that gave them."""

    writer: Writer
    image: Shape
    _tensors: dict[int, str] = field(default_factory=lambda: {IMAGE: INPUT})
    _shapes: dict[int, Shape] = field(default_factory=dict)
    _rows: dict[str, str] = field(default_factory=dict)
    """Tensors [1, values], and what they are as images where something asked for that."""

    def __post_init__(self) -> None:
        self._shapes[IMAGE] = self.image

    def give(self, layer: Layer, tensor: str) -> None:
        """Keep what a layer gives: an image [1, channels, height, width]."""
        self._tensors[layer.number], self._shapes[layer.number] = tensor, layer.outer

    def give_row(self, layer: Layer, tensor: str) -> None:
        """Keep what a layer gives: [1, values]."""
        self.give(layer, tensor)
        self._rows[tensor] = ""

    def read(self, layer: Layer, place: int = 0) -> str:
        """What a layer reads, as an image; `place` counts what it reads."""
        number = layer.reads[place]
        tensor = self._tensors[number]
        if tensor not in self._rows:
            return tensor
        if not self._rows[tensor]:
            self._rows[tensor] = self.writer.reshape(f"{tensor}/image", tensor, 1, *self._shapes[number])
        return self._rows[tensor]

    def read_row(self, layer: Layer) -> str:
        """What a layer reads first, as a row."""
        tensor, shape = self._tensors[layer.reads[0]], self._shapes[layer.reads[0]]
        if tensor in self._rows:
            return tensor
        return self.writer.reshape(f"{layer.name}/row", tensor, 1, prod(shape))

    def pass_on(self, layer: Layer) -> None:
        """A layer that gives what it reads."""
        tensor = self._tensors[layer.reads[0]]
        self._tensors[layer.number], self._shapes[layer.number] = tensor, layer.outer

    def result(self, layer: Layer) -> tuple[str, tuple[int, ...]]:
        """A layer's tensor and its shape."""
        tensor = self._tensors[layer.number]
        return tensor, (1, prod(layer.outer)) if tensor in self._rows else (1, *layer.outer)
