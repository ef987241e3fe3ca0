"""Sections of a .cfg as layers, with the values that Darknet takes where an option is absent."""

from collections.abc import Callable
from difflib import get_close_matches
from math import prod

from host.sources.darknet.layers import (
    Activation,
    AveragePool,
    Connected,
    Convolution,
    Crop,
    Layer,
    MaxPool,
    Passing,
    Product,
    Reorg,
    Route,
    Shortcut,
    Softmax,
    Upsample,
)
from host.sources.darknet.place import Place, size_text
from host.sources.darknet.sections import Section

ACTIVATIONS = (
    *("elu", "hardtan", "leaky", "linear", "loggy", "logistic", "mish", "ramp", "relie", "relu", "relu6"),
    *("selu", "swish", "tanh"),
)
_MOST_REORGANIZED = 1 << 12  # channels; what moves them is a square of that
_LONGEST = 1 << 14  # of kernels, strides and padding


def _activation(section: Section, default: str) -> str:
    """An activation's name.

    Darknet takes ReLU for one that it does not know, and only prints so: more likely it is misspelt.
    """
    name = section.text("activation", default)
    if name not in ACTIVATIONS:
        near = get_close_matches(name, ACTIVATIONS, 1)
        raise section.wrong(
            f"activation={name[:40]} is not supported" + (f", is it {near[0]}?" if near else ""),
            "activation",
            "model-op",
            f"It can be {', '.join(ACTIVATIONS)}.",
        )
    return name


def _convolutional(section: Section, place: Place) -> Layer:
    inner = place.shape(place.usual)
    filters = section.whole("filters", 1, 1)
    size = section.whole("size", 1, 1, _LONGEST)
    groups = section.whole("groups", 1, 1)
    padding = section.whole("padding", 0, 0, _LONGEST)
    if section.whole("pad", 0):
        padding = size // 2
    stride = _stride(section, 1)
    dilation = section.whole("dilation", 1, 1, 64) if size > 1 else 1
    if inner[0] % groups or filters % groups:
        raise section.wrong(
            f"groups={groups} do not divide {inner[0]} channels and {filters} filters", "groups"
        )
    height, width = (
        (length + 2 * padding - size) // step + 1 for length, step in zip(inner[1:], stride, strict=True)
    )
    if dilation > 1 and 2 * padding != size - 1:
        raise section.wrong("with dilation, the padding must be half of the kernel", "dilation", "model-op")
    return Convolution(
        number=place.number,
        reads=(place.usual,),
        inner=inner,
        outer=(filters, height, width),
        size=size,
        stride=stride,
        padding=padding * dilation,
        dilation=dilation,
        groups=groups,
        normalized=section.whole("batch_normalize", 0) > 0,
        activation=_activation(section, "logistic"),
    )


def _connected(section: Section, place: Place) -> Layer:
    return Connected(
        number=place.number,
        reads=(place.usual,),
        inner=place.shape(place.usual),
        outer=(section.whole("output", 1, 1), 1, 1),
        normalized=section.whole("batch_normalize", 0) > 0,
        activation=_activation(section, "logistic"),
    )


def _stride(section: Section, default: int) -> tuple[int, int]:
    both = section.whole("stride", default, 1, _LONGEST)
    return section.whole("stride_y", both, 1, _LONGEST), section.whole("stride_x", both, 1, _LONGEST)


def _maxpool(section: Section, place: Place) -> Layer:
    inner = place.shape(place.usual)
    stride = _stride(section, 1)
    size = section.whole("size", section.whole("stride", 1, 1, _LONGEST), 1, _LONGEST)
    padding = section.whole("padding", size - 1, 0, 2 * (size - 1))
    height, width = (
        (length + padding - size) // step + 1 for length, step in zip(inner[1:], stride, strict=True)
    )
    return MaxPool(
        number=place.number,
        reads=(place.usual,),
        inner=inner,
        outer=(inner[0], height, width),
        size=size,
        stride=stride,
        padding=padding,
    )


def _avgpool(_section: Section, place: Place) -> Layer:
    inner = place.shape(place.usual)
    return AveragePool(place.number, (place.usual,), inner, (inner[0], 1, 1))


def _upsample(section: Section, place: Place) -> Layer:
    channels, height, width = inner = place.shape(place.usual)
    stride = section.whole("stride", 2, 1, 64)
    outer = (channels, height * stride, width * stride)
    return Upsample(
        place.number, (place.usual,), inner, outer, stride=stride, scale=section.number("scale", 1)
    )


def _route(section: Section, place: Place) -> Layer:
    reads = place.named(section, "layers")
    groups = section.whole("groups", 1, 1)
    group = section.whole("group_id", 0, 0, groups - 1)
    shapes = [place.shape(number) for number in reads]
    if len({shape[1:] for shape in shapes}) > 1:
        sizes = ", ".join(f"layer {number}: {size_text(place.shape(number))}" for number in reads)
        raise section.wrong(f"the layers' images differ ({sizes})", "layers", "model-shape")
    if any(shape[0] % groups for shape in shapes):
        raise section.wrong(f"groups={groups} do not divide {shapes[0][0]} channels", "groups")
    shares = tuple((shape[0] // groups * group, shape[0] // groups * (group + 1)) for shape in shapes)
    outer = (sum(stop - start for start, stop in shares), *shapes[0][1:])
    channels = tuple(shape[0] for shape in shapes)
    return Route(place.number, reads, shapes[0], outer, shares=shares, channels=channels)


def _shortcut(section: Section, place: Place) -> Layer:
    reads = (place.usual, *place.named(section, "from"))
    shapes = [place.shape(number) for number in reads]
    for shape in shapes:
        steps = [theirs // own for theirs, own in zip(shape[1:], shapes[0][1:], strict=True)]
        if 0 in steps or steps[0] != steps[1]:
            raise section.wrong(
                f"{size_text(shape)} cannot be added to {size_text(shapes[0])}", "from", "model-shape"
            )
    return Shortcut(
        number=place.number,
        reads=reads,
        inner=shapes[0],
        outer=shapes[0],
        shapes=tuple(shapes),
        activation=_activation(section, "linear"),
    )


def _product(section: Section, place: Place) -> Layer:
    (number, *_) = place.named(section, "from")
    inner, outer = place.shape(place.usual), place.shape(number)
    if inner not in (outer, (outer[0], 1, 1), (1, *outer[1:])):
        raise section.wrong(
            f"{size_text(inner)} cannot scale layer {number} ({size_text(outer)})", "from", "model-shape"
        )
    reads = (place.usual, number)
    return Product(place.number, reads, inner, outer, activation=_activation(section, "linear"))


def _alone(section: Section, place: Place) -> Layer:
    shape = place.shape(place.usual)
    return Activation(place.number, (place.usual,), shape, shape, activation=_activation(section, "linear"))


def _reorg(section: Section, place: Place) -> Layer:
    channels, height, width = inner = place.shape(place.usual)
    stride = section.whole("stride", 1, 1, 64)
    if channels % stride**2 or height % stride or width % stride:
        raise section.wrong(f"stride={stride} does not divide {size_text(inner)}", "stride", "model-shape")
    if channels > _MOST_REORGANIZED:
        raise section.wrong(f"{channels} channels are more than {_MOST_REORGANIZED}", code="model-shape")
    outer = (channels * stride**2, height // stride, width // stride)
    return Reorg(place.number, (place.usual,), inner, outer, stride=stride)


def _crop(section: Section, place: Place) -> Layer:
    channels, height, width = inner = place.shape(place.usual)
    outer = (
        channels,
        section.whole("crop_height", 1, 1, height),
        section.whole("crop_width", 1, 1, width),
    )
    return Crop(place.number, (place.usual,), inner, outer, adjusted=not section.whole("noadjust", 0))


def _softmax(section: Section, place: Place) -> Layer:
    shape = place.shape(place.usual)
    groups = section.whole("groups", 1, 1)
    temperature = section.number("temperature", 1)
    if prod(shape) % groups:
        raise section.wrong(f"groups={groups} do not divide {prod(shape)} values", "groups")
    if temperature <= 0:
        raise section.wrong(f"temperature={temperature} must be above zero", "temperature")
    return Softmax(
        place.number, (place.usual,), shape, (prod(shape), 1, 1), groups=groups, temperature=temperature
    )


def _passing(_section: Section, place: Place) -> Layer:
    shape = place.shape(place.usual)
    return Passing(place.number, (place.usual,), shape, shape)


PARSERS: dict[str, Callable[[Section, Place], Layer]] = {
    "activation": _alone,
    "avgpool": _avgpool,
    "connected": _connected,
    "convolutional": _convolutional,
    "cost": _passing,
    "crop": _crop,
    "dropout": _passing,
    "maxpool": _maxpool,
    "reorg": _reorg,
    "route": _route,
    "sam": _product,
    "scale_channels": _product,
    "shortcut": _shortcut,
    "softmax": _softmax,
    "upsample": _upsample,
}
