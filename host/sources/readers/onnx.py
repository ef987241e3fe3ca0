"""Reads an ONNX model: what its graph says, without the checks that a conversion makes."""

from collections import Counter
from collections.abc import Mapping
from math import prod
from pathlib import Path

from onnx import NodeProto, ValueInfoProto
from onnx.helper import tensor_dtype_to_np_dtype

from host.sources.onnx.external import external_files, tensors
from host.sources.onnx.interface import graph_inputs, shape_of
from host.sources.onnx.model import parse
from host.sources.onnx.opset import opset_of
from host.sources.onnx.view import STANDARD, all_nodes
from host.sources.source import Interface, Port


def read(files: Mapping[str, Path]) -> Interface:
    """What the file tells; raises Fault model-invalid or model-data-missing (external data)."""
    proto = parse(files["model"])
    external_files(proto, files["model"].parent)
    own = {(function.domain, function.name) for function in proto.functions}
    nodes = [
        node
        for graph in (proto.graph, *proto.functions)
        for node in all_nodes(graph)
        if (node.domain, node.op_type) not in own
    ]
    custom = {_name(node) for node in nodes if node.domain not in STANDARD}
    return Interface(
        version=f"opset {opset_of(proto)}, IR {proto.ir_version}",
        inputs=tuple(map(_port, graph_inputs(proto))),
        outputs=tuple(map(_port, proto.graph.output)),
        operators=Counter(map(_name, nodes)),
        parameters=sum(prod(tensor.dims) for tensor in tensors(proto.graph)),
        custom=tuple(sorted(custom)),
    )


def _name(node: NodeProto) -> str:
    """The operator; one of another domain with it."""
    return str(node.op_type if node.domain in STANDARD else f"{node.domain}.{node.op_type}")


def _port(value: ValueInfoProto) -> Port:
    try:
        dtype = tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name
    except KeyError:  # a sequence, or no type at all
        dtype = "?"
    return Port(str(value.name), shape_of(value), dtype)
