"""Darknet's layers as ONNX nodes, except for the grids that detectors end with."""

from collections.abc import Callable
from typing import Any

import numpy as np

from host.sources.darknet.activations import apply
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
from host.sources.darknet.values import Numbers, Values

Build = Callable[[Values, Any, Numbers], None]


def _convolution(values: Values, layer: Convolution, numbers: Numbers) -> None:
    writer, name = values.writer, layer.name
    tensor = writer.node(
        "Conv",
        name,
        values.read(layer),
        writer.numbers(f"{name}.weights", numbers["weights"]),
        writer.numbers(f"{name}.biases", numbers["biases"]),
        kernel_shape=[layer.size] * 2,
        strides=layer.stride,
        pads=[layer.padding] * 4,
        dilations=[layer.dilation] * 2,
        group=layer.groups,
    )
    values.give(layer, apply(writer, layer.activation, tensor, layer.number))


def _connected(values: Values, layer: Connected, numbers: Numbers) -> None:
    writer, name = values.writer, layer.name
    weights = writer.numbers(f"{name}.weights", numbers["weights"])
    biases = writer.numbers(f"{name}.biases", numbers["biases"])
    tensor = writer.node("Gemm", name, values.read_row(layer), weights, biases, transB=1)
    values.give_row(layer, apply(writer, layer.activation, tensor, layer.number))


def _maxpool(values: Values, layer: MaxPool, _numbers: Numbers) -> None:
    before, behind = layer.padding // 2, layer.padding - layer.padding // 2
    tensor = values.writer.node(
        "MaxPool",
        layer.name,
        values.read(layer),
        kernel_shape=[layer.size] * 2,
        strides=layer.stride,
        pads=[before, before, behind, behind],
    )
    values.give(layer, tensor)


def _avgpool(values: Values, layer: AveragePool, _numbers: Numbers) -> None:
    values.give(layer, values.writer.node("GlobalAveragePool", layer.name, values.read(layer)))


def _upsample(values: Values, layer: Upsample, _numbers: Numbers) -> None:
    writer, name = values.writer, layer.name
    scales = writer.numbers(f"{name}.scales", [1, 1, layer.stride, layer.stride])
    alone = layer.scale == 1
    tensor = writer.node(
        "Resize",
        name if alone else f"{name}/repeated",
        values.read(layer),
        writer.numbers(f"{name}.roi", []),
        scales,
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    values.give(layer, tensor if alone else writer.times(name, tensor, layer.scale))


def _route(values: Values, layer: Route, _numbers: Numbers) -> None:
    writer = values.writer
    pieces = []
    for place, (start, stop) in enumerate(layer.shares):
        tensor = values.read(layer, place)
        if stop - start < layer.channels[place]:
            alone = len(layer.shares) == 1
            name = layer.name if alone else f"{layer.name}/share_{place}"
            tensor = writer.slice(name, tensor, 1, start, stop)
        pieces.append(tensor)
    values.give(layer, writer.node("Concat", layer.name, *pieces, axis=1) if len(pieces) > 1 else pieces[0])


def _shortcut(values: Values, layer: Shortcut, _numbers: Numbers) -> None:
    tensor = values.read(layer)
    last = len(layer.reads) - 1
    for place in range(1, last + 1):
        name = layer.name if place == last else f"{layer.name}/sum_{place}"
        tensor = _added(values, layer, place, tensor, name)
    values.give(layer, apply(values.writer, layer.activation, tensor, layer.number))


def _added(values: Values, layer: Shortcut, place: int, tensor: str, name: str) -> str:
    """The sum of a tensor and another that the layer reads, over the channels that both have."""
    writer = values.writer
    channels, height, width = layer.outer
    theirs, rows, columns = layer.shapes[place]
    other = values.read(layer, place)
    if theirs > channels:
        other = writer.slice(f"{name}/first_{place}", other, 1, 0, channels)
    step = rows // height
    if step > 1:
        other = writer.node(
            "MaxPool", f"{name}/every_{place}", other, kernel_shape=[1, 1], strides=[step] * 2
        )
        rows, columns = (rows - 1) // step + 1, (columns - 1) // step + 1
    for axis, (length, wanted) in enumerate(((rows, height), (columns, width)), 2):
        if length > wanted:
            other = writer.slice(f"{other}/to_{axis}", other, axis, 0, wanted)
    if theirs >= channels:
        return writer.node("Add", name, tensor, other)
    both = writer.node("Add", f"{name}/both", writer.slice(f"{name}/shared", tensor, 1, 0, theirs), other)
    rest = writer.slice(f"{name}/rest", tensor, 1, theirs, channels)
    return writer.node("Concat", name, both, rest, axis=1)


def _product(values: Values, layer: Product, _numbers: Numbers) -> None:
    tensor = values.writer.node("Mul", layer.name, values.read(layer, 1), values.read(layer, 0))
    values.give(layer, apply(values.writer, layer.activation, tensor, layer.number))


def _activation(values: Values, layer: Activation, _numbers: Numbers) -> None:
    values.give(layer, apply(values.writer, layer.activation, values.read(layer), layer.number))


def _reorg(values: Values, layer: Reorg, _numbers: Numbers) -> None:
    """Darknet reads the image as if it had fewer channels and more pixels, and makes channels of them.

    A convolution of ones and zeros does the latter: SpaceToDepth is left to the CPU, where there is one.
    """
    writer, name, stride = values.writer, layer.name, layer.stride
    channels, height, width = layer.inner
    few = channels // stride**2
    spread = writer.reshape(f"{name}/spread", values.read(layer), 1, few, height * stride, width * stride)
    ones = np.eye(channels, dtype=np.float32).reshape(channels, stride, stride, few).transpose(0, 3, 1, 2)
    moved = writer.node(
        "Conv",
        f"{name}/moved",
        spread,
        writer.numbers(f"{name}.weights", ones),
        kernel_shape=[stride] * 2,
        strides=[stride] * 2,
    )
    values.give(layer, writer.reshape(name, moved, 1, *layer.outer))


def _crop(values: Values, layer: Crop, _numbers: Numbers) -> None:
    writer, name, tensor = values.writer, layer.name, values.read(layer)
    for axis, (length, wanted) in enumerate(zip(layer.inner[1:], layer.outer[1:], strict=True), 2):
        start = (length - wanted) // 2
        tensor = writer.slice(f"{name}/cut_{axis}", tensor, axis, start, start + wanted)
    if layer.adjusted:
        tensor = writer.plus(name, writer.times(f"{name}/doubled", tensor, 2), -1)
    values.give(layer, tensor)


def _softmax(values: Values, layer: Softmax, _numbers: Numbers) -> None:
    writer, name, count = values.writer, layer.name, layer.outer[0]
    tensor = values.read_row(layer)
    if layer.temperature != 1:
        tensor = writer.times(f"{name}/cooled", tensor, 1 / layer.temperature)
    if layer.groups > 1:
        apart = writer.reshape(f"{name}/groups", tensor, layer.groups, count // layer.groups)
        shares = writer.node("Softmax", f"{name}/shares", apart, axis=1)
        tensor = writer.reshape(name, shares, 1, count)
    else:
        tensor = writer.node("Softmax", name, tensor, axis=1)
    values.give_row(layer, tensor)


def _passing(values: Values, layer: Passing, _numbers: Numbers) -> None:
    values.pass_on(layer)


BUILDERS: dict[type[Layer], Build] = {
    Activation: _activation,
    AveragePool: _avgpool,
    Connected: _connected,
    Convolution: _convolution,
    Crop: _crop,
    MaxPool: _maxpool,
    Passing: _passing,
    Product: _product,
    Reorg: _reorg,
    Route: _route,
    Shortcut: _shortcut,
    Softmax: _softmax,
    Upsample: _upsample,
}
