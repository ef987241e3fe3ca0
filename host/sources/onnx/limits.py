"""Operators that a toolkit converts only in some forms: named checks, which the table gives to toolkits.

The toolkit would say so late, in words about its own insides, or build something else.
"""

from collections.abc import Callable
from math import prod
from typing import NamedTuple

from onnx import NodeProto, TensorProto

from host.sources.onnx.view import View, attribute


class Limit(NamedTuple):
    """What a toolkit does not convert of some operators, and what to do instead."""

    operators: tuple[str, ...]
    exceeds: Callable[[NodeProto, View], bool]
    reason: str
    cure: str = ""
    quantized_only: bool = False
    """Whether it holds for models that are quantized, and for no others."""


_2D = "the toolkit's convolutions and pools are two-dimensional"


def _has_rank(rank: int) -> Callable[[NodeProto, View], bool]:
    return lambda node, graph: len(graph.shape(node.input[0])) == rank


def _is_set(name: str, default: int = 0) -> Callable[[NodeProto, View], bool]:
    return lambda node, _graph: bool(attribute(node, name, default))


def _says(name: str, *texts: bytes) -> Callable[[NodeProto, View], bool]:
    return lambda node, _graph: attribute(node, name) in texts


def _makes_uint8(node: NodeProto, _graph: View) -> bool:
    return bool(attribute(node, "to") == TensorProto.UINT8)


def _is_dilated(node: NodeProto, _graph: View) -> bool:
    return any(step != 1 for step in attribute(node, "dilations", ()))


def _is_dilated_unequally(node: NodeProto, _graph: View) -> bool:
    steps = attribute(node, "dilations", ())
    return len(set(steps)) > 1 and min(steps) > 1


def _makes_fractions(node: NodeProto, graph: View) -> bool:
    """Whether a length times its scale is no whole number; a scale in float32 is never quite exact."""
    if len(node.input) > 3 and node.input[3]:  # sizes
        return False
    scales = graph.parameter(node, 1 if len(node.input) == 2 else 2, "scales")
    lengths = graph.shape(node.input[0])
    if scales is None or len(scales) != len(lengths):
        return False
    sizes = [length * float(scale) for length, scale in zip(lengths, scales, strict=True)]
    return any(abs(size - round(size)) > 1e-3 for size in sizes)


def _pads_with_other_than_zero(node: NodeProto, graph: View) -> bool:
    value = graph.parameter(node, 2, "value")
    return attribute(node, "mode", b"constant") == b"constant" and value is not None and bool(value.any())


def _has_batch(node: NodeProto, graph: View) -> bool:
    shape = graph.shape(node.input[0])
    return len(shape) == 3 and shape[0 if attribute(node, "layout") else 1] > 1


def _broadcasts(node: NodeProto, graph: View) -> bool:
    """Whether the shapes differ; one constant number is no obstacle: HardSwish, which works, divides by 6."""
    left, right = map(graph.shape, node.input)
    number = any(name not in graph.computed and prod(graph.shape(name)) == 1 for name in node.input)
    return left != right and all((*left, *right)) and not number


def _is_no_mish(node: NodeProto, graph: View) -> bool:
    """Whether this is anything but the Softplus of x * tanh(softplus(x))."""
    waves = graph.users.get(node.output[0], [])
    products = [user for wave in waves for user in graph.users.get(wave.output[0], [])]
    return (
        not products
        or {wave.op_type for wave in waves} != {"Tanh"}
        or any(user.op_type != "Mul" or node.input[0] not in user.input for user in products)
    )


LIMITS = {
    "cast-to-uint8": Limit(("Cast",), _makes_uint8, "makes uint8: the toolkit aborts on it"),
    "convolution-3d": Limit(("Conv", "ConvTranspose"), _has_rank(5), f"has a 5-D input: {_2D}"),
    "pool-3d": Limit(
        ("AveragePool", "GlobalAveragePool", "GlobalMaxPool", "MaxPool"),
        _has_rank(5),
        f"has a 5-D input: {_2D}",
    ),
    "max-pool-ceil-mode": Limit(
        ("MaxPool",),
        _is_set("ceil_mode"),
        "has ceil_mode, which the toolkit lacks",
        "Export with ceil_mode=False, with padding where the size has to stay.",
    ),
    "max-pool-dilation": Limit(
        ("MaxPool",), _is_dilated, "has dilations, which the toolkit lacks", "Export without dilation."
    ),
    "argmax-keepdims": Limit(
        ("ArgMax",),
        _is_set("keepdims", 1),
        "keeps the axis it reduces, which the toolkit lacks",
        "Export with keepdim=False, and bring the axis back after the model.",
    ),
    "pixel-shuffle": Limit(
        ("DepthToSpace",),
        _says("mode", b"CRD"),
        "is a pixel shuffle, which the toolkit lacks",
        "Write it as reshape, permute and reshape, or use a transposed convolution.",
    ),
    "upsample-1d": Limit(
        ("Resize", "Upsample"),
        _has_rank(3),
        "resizes along one dimension, the toolkit along two",
        "Give the input a dimension of length 1 for the time of the resize.",
    ),
    "upsample-bicubic": Limit(
        ("Resize", "Upsample"),
        _says("mode", b"cubic"),
        "is bicubic, which the toolkit lacks",
        "Export with nearest or bilinear.",
    ),
    "resize-to-fractions": Limit(
        ("Resize", "Upsample"),
        _makes_fractions,
        "has scales that make no whole sizes, which the toolkit needs",
        "Export with a size in place of the scale factor, or with an input size that it divides.",
    ),
    "pad-value": Limit(
        ("Pad",),
        _pads_with_other_than_zero,
        "pads with another value than 0, which the toolkit cannot do in a quantized model",
        "Pad with 0, or convert with --dtype fp16.",
        quantized_only=True,
    ),
    "softplus-alone": Limit(
        ("Softplus",),
        _is_no_mish,
        "is on the vendor's list for mish alone, x * tanh(softplus(x))",
        "Train or export with another activation: ReLU, SiLU, HardSwish.",
    ),
    "lstm-batch": Limit(
        ("LSTM",),
        _has_batch,
        "has a batch, the toolkit takes one sequence",
        "Export the model with a batch of 1.",
    ),
    "convolution-dilations": Limit(
        ("Conv",),
        _is_dilated_unequally,
        "has dilations that differ and are both above 1, which the toolkit lacks",
        "Use equal dilations, or 1 in one of the directions.",
    ),
    "division-broadcast": Limit(
        ("Div",),
        _broadcasts,
        "divides tensors of different shapes, the toolkit only those of one",
        "Multiply by the reciprocal, or expand the divisor to the shape of the dividend.",
    ),
}
