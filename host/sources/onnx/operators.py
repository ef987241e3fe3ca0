"""What the toolkit cannot convert, known before it is started.

The vendor accepts some operators without an NPU lowering and reports success, aborts the whole process on
others, or gives up with words about its own insides. Which ones, the table tells of each toolkit.
"""

from onnx import ModelProto

from host.sources.onnx.limits import LIMITS
from host.sources.onnx.view import STANDARD, View, all_nodes, at
from shared import chips
from shared.chips import Toolkit
from shared.faults import Fault

QUANTIZED = ("QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul")
"""Operators of models that somebody quantized, with scales that are in the file."""


def refuse_custom_operators(proto: ModelProto) -> None:
    """Refuse operators outside the ONNX standard. Raises Fault model-op."""
    for node in all_nodes(proto.graph):
        if node.domain not in STANDARD:
            raise Fault("model-op", f"Operator {node.op_type}{at(node)} is custom (domain {node.domain}).")


def refuse_operators(proto: ModelProto, toolkit: Toolkit, quantize: bool) -> None:
    """Refuse operators that the toolkit cannot convert, unless they only compute on constants and shapes.

    Raises:
        Fault: model-op.
    """
    refused = chips.reasons(toolkit.unsupported_ops)
    limits = [LIMITS[name] for name in toolkit.limits if quantize or not LIMITS[name].quantized_only]
    graph = View(proto)
    for node in proto.graph.node:
        if graph.computed.isdisjoint(node.output):
            continue
        if node.op_type in refused:
            raise Fault("model-op", f"Operator {node.op_type}{at(node)}: {refused[node.op_type]}.")
        for limit in limits:
            if node.op_type in limit.operators and limit.exceeds(node, graph):
                raise Fault("model-op", f"Operator {node.op_type}{at(node)} {limit.reason}.", limit.cure)
