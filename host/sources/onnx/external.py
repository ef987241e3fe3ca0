"""Weights stored outside the .onnx file: found, checked and read here.

The vendor toolkit replaces data that it cannot read by random weights and reports success, so nothing
may reach it before every byte is known to be there.
"""

from collections.abc import Iterator
from math import prod
from pathlib import Path, PurePosixPath, PureWindowsPath

from onnx import GraphProto, ModelProto, TensorProto
from onnx.helper import tensor_dtype_to_np_dtype

from host.sources.onnx.view import inner_graphs
from shared.faults import Fault


def tensors(graph: GraphProto) -> Iterator[TensorProto]:
    """Every stored tensor of a graph: initializers, constants in attributes, and those of inner graphs."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
        for inner in inner_graphs(node):
            yield from tensors(inner)


def locations(proto: ModelProto) -> tuple[str, ...]:
    """Where the model says that its external data lies, relative to it, sorted, each once.

    Raises:
        Fault: model-invalid (a location outside the folder).
    """
    return tuple(sorted({_location(tensor)[1] for tensor in _external_tensors(proto)}))


def external_files(proto: ModelProto, folder: Path) -> tuple[Path, ...]:
    """The files beside the model that hold its external weights, sorted, each once.

    Raises:
        Fault: model-data-missing (missing or too short) or model-invalid (a location outside the folder).
    """
    return tuple(sorted({_span(tensor, folder)[0] for tensor in _external_tensors(proto)}))


def read_external(proto: ModelProto, folder: Path) -> None:
    """Bring external weights into the model, in place. Raises as `external_files`."""
    for tensor in _external_tensors(proto):
        path, offset, length = _span(tensor, folder)
        with path.open("rb") as file:
            file.seek(offset)
            tensor.raw_data = file.read(length)
        tensor.ClearField("external_data")
        tensor.data_location = TensorProto.DEFAULT


def _external_tensors(proto: ModelProto) -> Iterator[TensorProto]:
    return (tensor for tensor in tensors(proto.graph) if tensor.data_location == TensorProto.EXTERNAL)


def _location(tensor: TensorProto) -> tuple[dict[str, str], str]:
    """A tensor's data entries, and the place of its data, known to be inside the model's folder."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = str(entries.get("location", ""))  # protobuf gives bytes for damaged text
    if not location or PureWindowsPath(location).anchor or ".." in PureWindowsPath(location).parts:
        raise Fault(
            "model-invalid",
            f"Tensor {tensor.name!r} keeps its data in {location!r}, which is outside the model's folder.",
            "Save the model again with its data file beside it.",
        )
    return entries, location


def _span(tensor: TensorProto, folder: Path) -> tuple[Path, int, int]:
    """Path, offset and length (bytes) of one tensor's data, known to exist."""
    entries, location = _location(tensor)
    path = folder / PurePosixPath(location)
    try:
        present = path.stat().st_size if path.is_file() else -1
    except (OSError, ValueError):  # a name that is too long or holds a zero byte
        present = -1
    if present < 0:
        raise Fault(
            "model-data-missing", f"The data file {str(path)!r} of tensor {tensor.name!r} is missing."
        )
    try:
        offset = int(entries.get("offset", 0))
        length = int(entries["length"]) if "length" in entries else _size(tensor)
    except (ValueError, KeyError) as error:
        raise Fault("model-invalid", f"Tensor {tensor.name!r} has a damaged data entry: {error}.") from error
    if offset < 0 or length < 0 or offset + length > present:
        raise Fault(
            "model-data-missing",
            f"Tensor {tensor.name!r} needs bytes {offset}-{offset + length} of {path}, which has {present}.",
            "The data file is incomplete: copy or export it again.",
        )
    return path, offset, length


def _size(tensor: TensorProto) -> int:
    size: int = prod(tensor.dims) * tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    return size
