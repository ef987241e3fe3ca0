"""What the toolkit cannot convert, known before it is started.

The vendor accepts some operators without an NPU lowering and reports success, and aborts the whole process on
some element types, so both are refused here by name.
"""

from collections.abc import Iterator

from onnx import GraphProto, ModelProto, NodeProto, TensorProto

from host.sources.interface import graph_inputs
from shared.faults import Fault

# Why -> operators. Found with rknn-toolkit2 2.5.0 on rk3588, one graph per operator: the first line's build
# returns 0 with "No lowering found for ...", the others' ends in an exception or cannot be static.
_REASONS = {
    "it has no NPU lowering": """
        Acos Acosh Asin Asinh Atan Atanh BitwiseAnd BitwiseNot Ceil Celu CenterCropPad Col2Im Cosh DFT Det
        GlobalLpPool GroupNormalization IsInf IsNaN LpPool MatMulInteger Mean MeanVarianceNormalization Mish
        RNN ReduceL1 ReduceLogSum ReduceProd ReduceSumSquare STFT ScatterElements Selu Shrink Sign Sinh
        Softsign Tan Trilu Xor""",
    "the toolkit cannot build it": "DeformConv DynamicQuantizeLinear QLinearConv",
    "the size of its output depends on the data": "Compress NonMaxSuppression NonZero Unique",
    "control flow cannot be compiled": "If Loop Scan",
    "it draws random numbers": """
        Bernoulli Multinomial RandomNormal RandomNormalLike RandomUniform RandomUniformLike""",
}
REFUSED = {operator: reason for reason, operators in _REASONS.items() for operator in operators.split()}

# depend on shapes alone, so that the toolkit folds them away once the inputs are static
_SHAPE_ONLY = ("Shape", "Size")


def refuse_custom_operators(proto: ModelProto) -> None:
    """Refuse operators outside the ONNX standard. Raises Fault model-op."""
    for node in _nodes(proto.graph):
        if node.domain not in ("", "ai.onnx"):
            raise Fault("model-op", f"Operator {node.op_type}{_at(node)} is custom (domain {node.domain}).")


def refuse_operators(proto: ModelProto) -> None:
    """Refuse operators that the toolkit cannot convert, unless they only compute on constants and shapes.

    Raises:
        Fault: model-op.
    """
    computed = {value.name for value in graph_inputs(proto)}
    for node in proto.graph.node:
        if node.op_type in _SHAPE_ONLY or computed.isdisjoint(_reads(node)):
            continue
        computed.update(filter(None, node.output))
        if node.op_type in REFUSED:
            raise Fault("model-op", f"Operator {node.op_type}{_at(node)}: {REFUSED[node.op_type]}.")
        if node.op_type == "Cast" and any(attribute.i == TensorProto.UINT8 for attribute in node.attribute):
            raise Fault("model-op", f"Operator Cast{_at(node)} makes uint8: the toolkit aborts on it.")


def _nodes(graph: GraphProto) -> Iterator[NodeProto]:
    for node in graph.node:
        yield node
        for inner in _inner_graphs(node):
            yield from _nodes(inner)


def _inner_graphs(node: NodeProto) -> Iterator[GraphProto]:
    return (attribute.g for attribute in node.attribute if attribute.HasField("g"))


def _reads(node: NodeProto) -> set[str]:
    """The tensors a node uses, those that its inner graphs take from outside included."""
    inner = (name for graph in _inner_graphs(node) for child in graph.node for name in _reads(child))
    return {*node.input, *inner}


def _at(node: NodeProto) -> str:
    name = node.name or next(iter(node.output), "")
    return f" at {name!r}" if name else ""
