"""Reads an ONNX model with the environment's onnx, and refuses what rknn-toolkit 1.7.5 is documented to."""

import hashlib
import importlib
import re
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import onnx

from .log import Refused, say

OLDEST_OPSET, NEWEST_OPSET = 8, 12
UNSUPPORTED = (
    *("And", "Equal", "Erf", "GRU", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Not", "Or"),
    *("Softplus", "TopK", "Where", "Xor"),
)
WINDOWS = ("Conv", "ConvTranspose", "MaxPool", "AveragePool")
"""Operators over windows, which are not supported in three dimensions."""
NEED_TORCH = ("Conv", "ConvTranspose")
"""Operators whose output's shape the toolkit works out with PyTorch."""


class Graph(NamedTuple):
    """A model as far as the double knows it."""

    name: str
    inputs: Dict[str, List[int]]
    """Name -> shape with its batch."""
    layers: List[Tuple[str, str]]
    """(name as the toolkit makes them, operator), from the last layer to the first."""
    sha256: str


def read(
    path: str,
    inputs: Optional[List[str]],
    input_size_list: Optional[List[List[int]]],
    outputs: Optional[List[str]],
) -> Graph:
    """The model in `path`; raises what the toolkit would log."""
    with open(path, "rb") as stream:
        data = stream.read()
    model = onnx.load_model_from_string(data)
    _check_versions(model)
    graph = model.graph
    weights = {weight.name for weight in graph.initializer}
    shapes = {each.name: _shape(each) for each in graph.input if each.name not in weights}
    if inputs is not None:
        if input_size_list is None or len(input_size_list) != len(inputs):
            raise ValueError("inputs are given without a size each: input_size_list=%r" % (input_size_list,))
        shapes = {name: [1, *size] for name, size in zip(inputs, input_size_list)}
    known = {name for node in graph.node for name in (*node.input, *node.output)}
    missing = [name for name in (*shapes, *(outputs or ())) if name not in known]
    if missing:
        raise KeyError(missing[0])
    layers = _layers(graph)
    for node, (layer, _) in zip(reversed(graph.node), layers):
        if not _in_mish(node, graph):
            _check_operator(node, layer)
    return Graph(re.sub(r"\W|_", "", graph.name), shapes, layers, hashlib.sha256(data).hexdigest())


def _check_versions(model: Any) -> None:
    opset = max(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
    if opset > NEWEST_OPSET:
        raise Refused(("", "Unsupport onnx opset %d, need <= %d!" % (opset, NEWEST_OPSET)))
    if opset < OLDEST_OPSET:
        raise ValueError("opset %d is older than %d" % (opset, OLDEST_OPSET))
    onnx.checker.check_model(model)


def _shape(value: Any) -> List[int]:
    sizes = [each.dim_value for each in value.type.tensor_type.shape.dim]
    if not sizes or min(sizes) < 1:
        raise ValueError("input %s has a dynamic shape" % value.name)
    return sizes


def _layers(graph: Any) -> List[Tuple[str, str]]:
    names = []
    for number, node in enumerate(reversed(graph.node), len(graph.output)):
        names.append(("%s_%s_%d" % (node.op_type, node.name or node.output[0], number), node.op_type))
    return names


def _in_mish(softplus: Any, graph: Any) -> bool:
    """Whether a Softplus is part of x * tanh(softplus(x)), which is converted as a whole."""
    if softplus.op_type != "Softplus":
        return False
    (value,) = softplus.input
    waves = [node for node in graph.node if softplus.output[0] in node.input]
    names = {wave.output[0] for wave in waves}
    products = [node for node in graph.node if names.intersection(node.input)]
    return (
        bool(products)
        and all(wave.op_type == "Tanh" for wave in waves)
        and all(product.op_type == "Mul" and value in product.input for product in products)
    )


def _check_operator(node: Any, layer: str) -> None:
    if node.op_type in NEED_TORCH:
        try:
            importlib.import_module("torch")
        except ImportError:
            say("E", "Calc node %s : %s output shape fail" % (node.op_type, node.name or node.output[0]))
            raise
    attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    three = node.op_type in WINDOWS and len(attributes.get("kernel_shape", ())) == 3
    odd = node.op_type == "MaxPool" and (
        attributes.get("ceil_mode") or set(attributes.get("dilations", ())) - {1}
    )
    if node.op_type in UNSUPPORTED or three or odd:
        named = (("W", "The follow op is not support : ['%s']" % node.op_type),) if not odd else ()
        raise Refused(
            *named,
            ("W", "Not match tensor %s:out0 " % layer),
            ("E", "Try match layer: %s:out0 failed!" % layer),
            ("", "The OP of this layer may not yet support, please check document <RKNN_OP_Support.md>!"),
        )
