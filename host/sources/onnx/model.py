"""From a path to an ONNX model that the toolkit can be trusted with.

Every trap that the vendor meets with a crash, a traceback or silent success is refused here, with its cause.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import onnx.checker
import onnx.inliner
from onnx import ModelProto, ValueInfoProto
from onnx.helper import tensor_dtype_to_np_dtype

from host.sources.onnx.external import read_external
from host.sources.onnx.extract import cut_out
from host.sources.onnx.interface import graph_inputs, refuse_interface, static_shape
from host.sources.onnx.operators import QUANTIZED, refuse_custom_operators
from host.sources.onnx.opset import fit_opset, opset_of
from host.sources.onnx.reach import drop_unused
from host.sources.onnx.shapes import fix_shapes
from host.sources.onnx.weights import refuse_broken_weights
from host.sources.recognition.contents import not_onnx, refuse_other_formats, require_file
from host.sources.source import TensorSpec
from shared.chips import Toolkit
from shared.faults import Fault
from shared.text import one_line

_MAX_BYTES = 2**31 - 1  # protobuf's limit for one message


@dataclass(frozen=True)
class OnnxSource:
    """A checked model, ready to stage."""

    proto: ModelProto
    """Holds all weights itself."""
    opset: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    notes: tuple[str, ...]
    """What was changed, a phrase each."""

    @property
    def quantized(self) -> bool:
        """Whether it holds integers with scales of its own: no toolkit may quantize it again."""
        return any(node.op_type in QUANTIZED for node in self.proto.graph.node)


class Cut(NamedTuple):
    """A part of a graph: names of the tensors where it begins and ends, and the shapes of the former."""

    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    shapes: tuple[tuple[int, ...], ...] = ()


def load(
    path: Path, toolkit: Toolkit, size: tuple[int, int] | None = None, cut: Cut | None = None
) -> OnnxSource:
    """Read and check an ONNX model, whatever its extension, and make its inputs static.

    Operators that the toolkit cannot convert are not looked for: they may lie in a head that is cut.

    Args:
        path: the model file; external data lies beside it.
        toolkit: what will convert it.
        size: width and height for an input that leaves them open.
        cut: what of the graph is wanted; all of it by default.

    Raises:
        Fault: any of the model-* codes.
    """
    proto = parse(path)
    read_external(proto, path.parent)
    return check(proto, path, toolkit, size, cut)


def check(
    proto: ModelProto,
    path: Path,
    toolkit: Toolkit,
    size: tuple[int, int] | None = None,
    cut: Cut | None = None,
) -> OnnxSource:
    """Check a model that holds its weights itself, and make its inputs static; the rest as for `load`.

    Args:
        proto: changed in place.
        path: where it comes from, for messages.
        toolkit: what will convert it.
        size: width and height for an input that leaves them open.
        cut: what of the graph is wanted; all of it by default.
    """
    if proto.ByteSize() > _MAX_BYTES:
        raise Fault("model-format", f"{path} has more than 2 GB of weights; one ONNX file cannot hold them.")
    proto = _inline(proto, path)
    refuse_custom_operators(proto)
    _check(proto, path)
    if cut and any(cut):
        proto = cut_out(proto, cut.inputs, cut.outputs, cut.shapes)
    given = len(graph_inputs(proto))
    unused = drop_unused(proto)
    if given and proto.graph.output and len(unused) == given:
        raise Fault("model-op", f"no output of {path} depends on an input", "Export the model again.")
    refuse_interface(proto, toolkit)
    refuse_broken_weights(proto)
    notes = (
        *(f"input {name!r} is left out: no output depends on it" for name in unused),
        *fix_shapes(proto, size),
        *fit_opset(proto, toolkit.min_opset, toolkit.max_opset, toolkit.max_ir_version),
    )
    return OnnxSource(
        proto=proto,
        opset=opset_of(proto),
        inputs=tuple(map(_spec, graph_inputs(proto))),
        outputs=tuple(map(_spec, proto.graph.output)),
        notes=notes,
    )


def parse(path: Path) -> ModelProto:
    """The model in a file, external data not read.

    Raises:
        Fault: model-missing, model-format or model-invalid.
    """
    require_file(path)
    refuse_other_formats(path)
    proto = ModelProto()
    try:
        proto.ParseFromString(path.read_bytes())
    except Exception as error:  # protobuf's DecodeError, whose module has no types
        raise not_onnx(path, "it is truncated or of another kind") from error
    if not proto.ir_version or not proto.HasField("graph"):
        raise not_onnx(path, "it has no graph")
    return proto


def _inline(proto: ModelProto, path: Path) -> ModelProto:
    """Local functions (PyTorch's exporter writes them) become plain operators."""
    if not proto.functions:
        return proto
    try:
        return onnx.inliner.inline_local_functions(proto)
    except Exception as error:  # the C++ inliner raises whatever a damaged function leads it to
        raise _invalid(path, error) from error


def _check(proto: ModelProto, path: Path) -> None:
    try:
        onnx.checker.check_model(proto)
    except Exception as error:  # ValidationError, and others on damaged files
        raise _invalid(path, error) from error


def _invalid(path: Path, error: Exception) -> Fault:
    cause = one_line(str(error).split("==>")[0])
    return Fault("model-invalid", f"{path} is not a valid ONNX model: {cause.rstrip('.')}.")


def _spec(value: ValueInfoProto) -> TensorSpec:
    dtype = tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    return TensorSpec(value.name, static_shape(value), dtype.name)
