"""Reads a Caffe network: .prototxt and .caffemodel.

The vendor's loader fills in random weights where the .caffemodel lacks them and reports success. So every
layer that learns must find its weights there, all of them, in the size that its parameters tell.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import zip_longest
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from host.sources.readers import prototxt
from host.sources.readers.damage import damaged
from host.sources.readers.prototxt import Layer, Net
from host.sources.source import Interface, Port
from shared.faults import Fault

_HINT = "Put the .caffemodel that was trained with this .prototxt beside it, under the same name."
_FLOAT = 4  # bytes


def read(files: Mapping[str, Path]) -> Interface:
    """What prototxt and caffemodel tell.

    Raises:
        Fault: model-invalid, model-data-missing (weights) or model-weights (of another size or kind).
    """
    net = prototxt.read(files["prototxt"])
    blobs = _blobs(files["caffemodel"])
    _check(net, blobs, files)
    return Interface(
        version="",
        inputs=net.inputs,
        outputs=tuple(Port(name, (), "float32") for name in net.outputs()),
        operators=Counter(name for layer in net.layers for name in layer.operators),
        parameters=sum(prod(_shape(blob)) for layer in net.layers for blob in blobs.get(layer.name, ())),
        parsed=net,
    )


def _blobs(path: Path) -> dict[str, list[Any]]:
    """Layer -> its weights. Raises Fault model-invalid."""
    message = prototxt.SCHEMA["NetParameter"]()
    try:
        message.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise damaged(path, "a Caffe model") from error
    found = {each.name: list(each.blobs) for each in (*message.layers, *message.layer) if each.blobs}
    if not found:
        raise Fault("model-data-missing", f"{path} holds no weights.", _HINT)
    return found


def _check(net: Net, blobs: Mapping[str, list[Any]], files: Mapping[str, Path]) -> None:
    weights = files["caffemodel"]
    learning = [(layer, _LEARNING[layer.type](layer)) for layer in net.layers if layer.type in _LEARNING]
    missing = [layer for layer, wanted in learning if len(blobs.get(layer.name, ())) < len(wanted)]
    if missing:
        raise Fault(
            "model-data-missing",
            f"{weights} lacks the weights of {len(missing)} of {len(learning)} layers of "
            f"{files['prototxt'].name}: {', '.join(repr(layer.name) for layer in missing[:5])}"
            f"{' and others' if len(missing) > 5 else ''}.",
            _HINT,
        )
    for layer, wanted in learning:
        for blob, multiple in zip_longest(blobs[layer.name], wanted, fillvalue=1):
            if fault := _unfit(blob, multiple):
                raise Fault(
                    "model-weights",
                    f"{weights}: weights of layer {layer.name!r} ({layer.type}) {fault}.",
                    _HINT,
                )


def _unfit(blob: Any, multiple: int) -> str:
    """Why a blob cannot be the weights of a layer whose count of numbers is a multiple; empty if it can."""
    if blob.raw_data or blob.double_data:
        return "are not stored as 32-bit floats, which is all that the toolkit reads"
    shape, data = _shape(blob), blob.data  # the field is copied whenever it is read
    count = len(data) // _FLOAT
    if len(data) % _FLOAT or count != prod(shape):
        return f"are {count} numbers for the shape {list(shape)}"
    if not multiple or count % multiple or not count:
        return f"are {count} numbers, which its parameters in the .prototxt do not divide into {multiple}"
    if not np.isfinite(np.frombuffer(data, "<f4")).all():
        return "are not all finite"
    return ""


def _shape(blob: Any) -> tuple[int, ...]:
    if blob.HasField("shape"):
        return tuple(blob.shape.dim)
    return (blob.num, blob.channels, blob.height, blob.width)


def _convolution(layer: Layer) -> list[int]:
    told = layer.message.convolution_param
    sides = list(told.kernel_size) or [told.kernel_h, told.kernel_w]
    area = prod(sides) if len(sides) > 1 else sides[0] ** 2
    # of a deconvolution, the second axis has the outputs of a group
    outputs = told.num_output if layer.type != "Deconvolution" else told.num_output // max(told.group, 1)
    return list(_with_bias(outputs * area, told.num_output, told.bias_term))


def _inner_product(layer: Layer) -> list[int]:
    told = layer.message.inner_product_param
    return list(_with_bias(told.num_output, told.num_output, told.bias_term))


def _scale(layer: Layer) -> list[int]:
    if len(layer.bottoms) > 1:
        return []  # the second input is the factor
    return list(_with_bias(1, 1, layer.message.scale_param.bias_term))


def _embedding(layer: Layer) -> list[int]:
    return list(_with_bias(1, 1, layer.message.embed_param.bias_term))


def _with_bias(weights: int, bias: int, has_bias: bool) -> Iterator[int]:
    yield weights
    if has_bias:
        yield bias


_LEARNING: Mapping[str, Callable[[Layer], list[int]]] = {
    **dict.fromkeys(
        ("Convolution", "Deconvolution", "ConvolutionDepthwise", "DepthwiseConvolution"), _convolution
    ),
    "InnerProduct": _inner_product,
    "Scale": _scale,
    "Embed": _embedding,
    "Bias": lambda layer: [1] if len(layer.bottoms) == 1 else [],
    "BatchNorm": lambda _: [1, 1, 1],
    "PReLU": lambda _: [1],
    "Normalize": lambda _: [1],
    "Parameter": lambda _: [1],
    "LSTM": lambda _: [1, 1, 1],
    "RNN": lambda _: [1, 1, 1, 1, 1],
}
"""Type of layer -> for each of its blobs, what its count of numbers is a multiple of."""
