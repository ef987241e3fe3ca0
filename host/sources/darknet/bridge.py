"""Builds the ONNX graph of a Darknet network, so that rkforge's own passes can work on it.

The nodes are called as Darknet counts its layers: conv_0, leaky_0, ..., yolo_82.
"""

from pathlib import Path

import numpy as np
from onnx import ModelProto

from host.sources.darknet import cfg as configuration
from host.sources.darknet import detections
from host.sources.darknet import weights as stored
from host.sources.darknet.elements import BUILDERS
from host.sources.darknet.layers import Grid, Layer
from host.sources.darknet.values import INPUT, Numbers, Values
from host.sources.darknet.weights import Header
from host.sources.darknet.writer import Writer
from shared.faults import Fault


def to_onnx(cfg: Path, weights: Path) -> ModelProto:
    """The network of a .cfg with the numbers of its .weights, opset 12, all shapes static.

    The input is "data", [1, channels, height, width], RGB in 0..1. A detector has one output, "output",
    see `detections`; other networks have that of their last layer, and classifiers [1, classes].

    Raises:
        Fault: of `cfg.read` and `weights.read`; model-weights where numbers are not finite; model-invalid
            where nothing is computed.
    """
    network = configuration.read(cfg)
    header, arrays = stored.read(weights, network)
    values = Values(Writer(), network.input)
    tensors = {}
    for layer, numbers in zip(network.layers, arrays, strict=True):
        if isinstance(layer, Grid):
            tensors[layer] = values.read(layer)
            values.pass_on(layer)
        else:
            BUILDERS[type(layer)](values, layer, _folded(layer, numbers, header, weights))
    output = values.result(network.last)
    if tensors:
        output = detections.table(values.writer, list(tensors), list(tensors.values()), network.input)
    if output[0] == INPUT:
        raise Fault("model-invalid", f"{cfg} has no layer that computes something.")
    return values.writer.model(cfg.stem, (INPUT, (1, *network.input)), output)


def _folded(layer: Layer, numbers: Numbers, header: Header, path: Path) -> Numbers:
    """A layer's weights and biases with the batch normalization in them.

    Raises:
        Fault: model-weights.
    """
    for name, values in numbers.items():
        if not np.isfinite(values).all():
            raise _unusable(path, layer, f"{name} that are not finite")
    if "scales" not in numbers:
        return numbers
    if numbers["variances"].min() < 0:
        raise _unusable(path, layer, "variances below zero")
    factors = numbers["scales"] / header.deviation(numbers["variances"])
    weights = numbers["weights"] * factors.reshape(-1, *[1] * (numbers["weights"].ndim - 1))
    biases = numbers["biases"] - numbers["means"] * factors
    return {"weights": weights.astype(np.float32), "biases": biases.astype(np.float32)}


def _unusable(path: Path, layer: Layer, what: str) -> Fault:
    return Fault(
        "model-weights",
        f"{path}: layer {layer.name} has {what}.",
        "Check that the .cfg is the one that the weights were trained with, and that the training went well.",
    )
