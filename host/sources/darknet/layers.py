"""Darknet's layers as data: what each reads and gives, and the numbers it takes from the .weights file."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

Shape = tuple[int, int, int]
"""Channels, height, width."""

IMAGE = -1
"""The number under which a layer reads the network's input."""


@dataclass(frozen=True)
class Layer:
    """One section after [net]."""

    title: ClassVar[str]
    """What people call it; with its number, the name of its nodes."""
    number: int
    """As Darknet prints it, from 0."""
    reads: tuple[int, ...]
    """The layers it takes values from, the usual one first."""
    inner: Shape
    """Of the first that it reads."""
    outer: Shape
    """Of what it gives."""

    @property
    def name(self) -> str:
        """Of its last node and of the tensor it gives."""
        return f"{self.title}_{self.number}"

    @property
    def weights(self) -> Mapping[str, tuple[int, ...]]:
        """Name -> shape of its numbers, in the order of the .weights file."""
        return {}


@dataclass(frozen=True)
class Convolution(Layer):
    """[convolutional]."""

    title = "conv"
    size: int
    stride: tuple[int, int]
    """Vertical, horizontal."""
    padding: int
    dilation: int
    groups: int
    normalized: bool
    activation: str

    @property
    def weights(self) -> Mapping[str, tuple[int, ...]]:
        """Biases, batch normalization, kernels [filters, channels of a group, size, size]."""
        filters = self.outer[0]
        kernels = (filters, self.inner[0] // self.groups, self.size, self.size)
        return {
            **_biases(filters),
            **(_normalization(filters) if self.normalized else {}),
            "weights": kernels,
        }


@dataclass(frozen=True)
class Connected(Layer):
    """[connected]."""

    title = "fc"
    normalized: bool
    activation: str

    @property
    def weights(self) -> Mapping[str, tuple[int, ...]]:
        """Biases, weights [outputs, inputs], batch normalization."""
        outputs, inputs = self.outer[0], self.inner[0] * self.inner[1] * self.inner[2]
        return {
            **_biases(outputs),
            "weights": (outputs, inputs),
            **(_normalization(outputs) if self.normalized else {}),
        }


def _biases(count: int) -> dict[str, tuple[int, ...]]:
    return {"biases": (count,)}


def _normalization(count: int) -> dict[str, tuple[int, ...]]:
    return dict.fromkeys(("scales", "means", "variances"), (count,))


@dataclass(frozen=True)
class MaxPool(Layer):
    """[maxpool]; half of the padding, rounded down, lies left and above."""

    title = "maxpool"
    size: int
    stride: tuple[int, int]
    padding: int


@dataclass(frozen=True)
class AveragePool(Layer):
    """[avgpool]: the mean of every channel."""

    title = "avgpool"


@dataclass(frozen=True)
class Upsample(Layer):
    """[upsample]: every value repeated."""

    title = "upsample"
    stride: int
    scale: float


@dataclass(frozen=True)
class Route(Layer):
    """[route]: channels of other layers behind each other, of each the same share."""

    title = "route"
    shares: tuple[tuple[int, int], ...]
    """First channel and one past the last of each that it reads."""
    channels: tuple[int, ...]
    """Of each that it reads."""


@dataclass(frozen=True)
class Shortcut(Layer):
    """[shortcut]: a sum.

    Of others that have more or fewer channels, the first that both have; of others with larger images, every
    so many pixels.
    """

    title = "shortcut"
    shapes: tuple[Shape, ...]
    """Of each that it reads."""
    activation: str


@dataclass(frozen=True)
class Product(Layer):
    """[scale_channels], [sam]: the product of two layers, the one repeated over the other's image."""

    title = "scale"
    activation: str


@dataclass(frozen=True)
class Activation(Layer):
    """[activation]."""

    title = "activation"
    activation: str


@dataclass(frozen=True)
class Reorg(Layer):
    """[reorg]: an image's cells become channels, in Darknet's own order."""

    title = "reorg"
    stride: int


@dataclass(frozen=True)
class Crop(Layer):
    """[crop]: the middle of an image, its values 0..1 as -1..1 unless told not to."""

    title = "crop"
    adjusted: bool


@dataclass(frozen=True)
class Softmax(Layer):
    """[softmax]: shares within each group."""

    title = "softmax"
    groups: int
    temperature: float


@dataclass(frozen=True)
class Passing(Layer):
    """[dropout], [cost]: of training only; what they read is what they give."""

    title = "pass"


@dataclass(frozen=True)
class Grid(Layer):
    """A layer that tells what the channels before it mean: boxes relative to anchors in the cells of a grid.

    For each anchor: x, y, w, h, objectness, classes.
    """

    anchors: tuple[tuple[float, float], ...]
    """Width and height in pixels of the network's input."""
    classes: int


@dataclass(frozen=True)
class Yolo(Grid):
    """[yolo]."""

    title = "yolo"
    reach: float
    """`scale_x_y`: how far a centre can get, in cells."""
    squared: bool
    """`new_coords`: all values had their sigmoid before; sizes are (2p)^2, not exponents."""


@dataclass(frozen=True)
class Region(Grid):
    """[region]."""

    title = "region"
    softmax: bool
    """Whether the classes are shares of one, not each for itself."""
