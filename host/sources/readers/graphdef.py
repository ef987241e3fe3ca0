"""TensorFlow's graphs: their schema, and what a graph's nodes tell of its inputs and outputs.

Schema: tensorflow/core/framework/*.proto and core/protobuf/*.proto.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from host.sources.readers.damage import damaged
from host.sources.readers.schema import messages
from host.sources.source import Interface, Port

SCHEMA = messages(
    "rkforge.tensorflow",
    """
    message Dim { optional int64 size = 1; }
    message TensorShapeProto { repeated Dim dim = 2; optional bool unknown_rank = 3; }
    message TensorProto { optional int32 dtype = 1; optional TensorShapeProto tensor_shape = 2; }
    message AttrValue {
      optional int32 type = 6; optional TensorShapeProto shape = 7; optional TensorProto tensor = 8;
    }
    message Attr { optional string key = 1; optional AttrValue value = 2; }
    message NodeDef {
      optional string name = 1; optional string op = 2; repeated string input = 3; repeated Attr attr = 5;
    }
    message OpDef { optional string name = 1; }
    message FunctionDef { optional OpDef signature = 1; repeated NodeDef node_def = 3; }
    message FunctionDefLibrary { repeated FunctionDef function = 1; }
    message VersionDef { optional int32 producer = 1; }
    message GraphDef {
      repeated NodeDef node = 1; optional FunctionDefLibrary library = 2; optional VersionDef versions = 4;
    }
    message TensorInfo {
      optional string name = 1; optional int32 dtype = 2; optional TensorShapeProto tensor_shape = 3;
    }
    message NamedTensor { optional string key = 1; optional TensorInfo value = 2; }
    message SignatureDef { repeated NamedTensor inputs = 1; repeated NamedTensor outputs = 2; }
    message NamedSignature { optional string key = 1; optional SignatureDef value = 2; }
    message MetaInfoDef { repeated string tags = 4; optional string tensorflow_version = 5; }
    message MetaGraphDef {
      optional MetaInfoDef meta_info_def = 1; optional GraphDef graph_def = 2;
      repeated NamedSignature signature_def = 5;
    }
    message SavedModel { repeated MetaGraphDef meta_graphs = 2; }
    """,
)

DTYPES: Mapping[int, str] = {
    **{1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 7: "str", 8: "complex64"},
    **{9: "int64", 10: "bool", 14: "bfloat16", 17: "uint16", 19: "float16", 22: "uint32", 23: "uint64"},
}
"""DataType -> numpy's name; a variable's reference is 100 more."""

VARIABLES = ("Variable", "VariableV2", "VarHandleOp", "AutoReloadVariable", "TemporaryVariable")
"""Operators whose values are outside the graph."""
_INPUTS = ("Placeholder", "PlaceholderV2", "PlaceholderWithDefault")
_NO_OUTPUT = (
    *("Assert", "NoOp", "Const", "Assign", "AssignVariableOp", "SaveV2", "RestoreV2", "Save", "Print"),
    *(
        "MergeSummary",
        "ScalarSummary",
        "HistogramSummary",
        "ImageSummary",
        "ApplyGradientDescent",
        "ApplyAdam",
    ),
)
"""Operators that end a branch without being what the model computes."""


def parse(path: Path, message: str, title: str) -> Any:
    """A file as one of the schema's messages. Raises Fault model-invalid."""
    parsed = SCHEMA[message]()
    try:
        parsed.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise damaged(path, title) from error
    return parsed


def interface(graph: Any, version: str) -> Interface:
    """What the nodes of a GraphDef tell: placeholders are its inputs, nodes that nobody takes its outputs."""
    return Interface(
        version=version,
        inputs=tuple(port(node.name, attributes(node)) for node in _fed(graph)),
        outputs=tuple(port(node.name, {}) for node in _ends(graph)),
        operators=operators(graph),
        parameters=sum(
            _count(value.tensor.tensor_shape)
            for node in graph.node
            if node.op == "Const"
            for value in attributes(node).values()
            if value.HasField("tensor") and "float" in DTYPES.get(value.tensor.dtype, "")
        ),
    )


def operators(graph: Any) -> Mapping[str, int]:
    """Operator -> how often, those of functions included."""
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    return Counter(node.op for node in nodes if node.op != "Const")


def attributes(node: Any) -> Mapping[str, Any]:
    """Name -> AttrValue."""
    return {entry.key: entry.value for entry in node.attr}


def port(name: str, told: Mapping[str, Any]) -> Port:
    """An input or output of a graph with what its node's attributes tell."""
    dtype = told["dtype"].type if "dtype" in told else 1
    shape = told["shape"].shape if "shape" in told else None
    return described(name, dtype, shape)


def described(name: str, dtype: int, shape: Any) -> Port:
    """A port from a DataType and a TensorShapeProto; without a rank its shape is empty."""
    lengths = () if shape is None else tuple(dim.size if dim.size > 0 else "?" for dim in shape.dim)
    return Port(name, lengths, DTYPES.get(dtype, "float32"), channels_last=len(lengths) == 4)


def node_of(tensor: str) -> str:
    """The node's name in an input's: "^switch", "conv:0" -> "switch", "conv"."""
    return tensor.removeprefix("^").split(":")[0]


def _fed(graph: Any) -> Iterator[Any]:
    """The placeholders for numbers; those for text are for the names of files."""
    for node in graph.node:
        if node.op in _INPUTS and port(node.name, attributes(node)).dtype != "str":
            yield node


def _ends(graph: Any) -> Iterator[Any]:
    taken = {node_of(name) for node in graph.node for name in node.input}
    computed = _computed(graph)
    for node in graph.node:
        if node.name in computed and node.name not in taken and node.op not in _NO_OUTPUT:
            yield node


def _computed(graph: Any) -> Collection[str]:
    """The nodes that depend on an input."""
    users: dict[str, list[str]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(node_of(name), []).append(node.name)
    reached: set[str] = set()
    fed = [node.name for node in _fed(graph)]
    waiting = list(fed)
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += users.get(name, ())
    return reached - set(fed)


def _count(shape: Any) -> int:
    return prod(max(dim.size, 0) for dim in shape.dim)
