"""A part of a graph as a model of its own: what --inputs, --outputs and --input-sizes ask of an ONNX file."""

from collections.abc import Sequence

from onnx import ModelProto, TensorProto
from onnx.checker import check_model
from onnx.helper import make_tensor_value_info
from onnx.utils import Extractor

from host.sources.onnx.inference import note_shapes
from host.sources.onnx.interface import graph_inputs
from shared import chips
from shared.faults import Fault
from shared.text import one_line


def cut_out(
    proto: ModelProto, inputs: Sequence[str], outputs: Sequence[str], shapes: Sequence[Sequence[int]]
) -> ModelProto:
    """The graph from the tensors `inputs` to the tensors `outputs`; the file's own where none are named.

    Args:
        proto: the whole model, which may change.
        inputs: names of tensors anywhere in the graph.
        outputs: the same.
        shapes: of the inputs in their order, batch included; none for what the file says.

    Raises:
        Fault: bad-option when there is no such tensor, or as many shapes as inputs.
    """
    names = list(inputs) or [value.name for value in graph_inputs(proto)]
    ends = list(outputs) or [value.name for value in proto.graph.output]
    tensors = [value.name for value in graph_inputs(proto)]
    tensors += [name for node in proto.graph.node for name in node.output if name]
    for flag, wanted in (("--inputs", names), ("--outputs", ends)):
        for name in wanted:
            if name not in tensors:
                raise Fault("bad-option", f"{flag}: {chips.unknown('tensor', name, tensors[-10:] + tensors)}")
    if shapes and len(shapes) != len(names):
        raise Fault("bad-option", f"--input-sizes: {len(shapes)} shapes for {len(names)} inputs")
    part = _part(proto, names, ends) if inputs or outputs else proto
    for value, shape in zip(graph_inputs(part), shapes, strict=False):
        element = value.type.tensor_type.elem_type or TensorProto.FLOAT
        value.CopyFrom(make_tensor_value_info(value.name, element, list(shape)))
    return part


def _part(proto: ModelProto, names: list[str], ends: list[str]) -> ModelProto:
    note_shapes(proto)
    graph = proto.graph
    told = {value.name for value in (*graph.input, *graph.value_info, *graph.output)}
    for name in (*names, *ends):
        if name not in told:  # a type must be there; floats are what graphs are made of
            graph.value_info.append(make_tensor_value_info(name, TensorProto.FLOAT, None))
    try:
        part = Extractor(proto).extract_model(names, ends)
        check_model(part)
        return part
    except Exception as error:  # several kinds, for tensors that do not hang together
        cause = one_line(error)
        raise Fault("bad-option", f"--inputs and --outputs: no graph lies between them ({cause})") from error
