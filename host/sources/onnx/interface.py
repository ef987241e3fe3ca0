"""A model's inputs and outputs: which they are, their shapes and their types."""

from onnx import ModelProto, TensorProto, ValueInfoProto

from shared.chips import Toolkit
from shared.faults import Fault

STATIC_HINT = "Export the model with a static shape."

_TYPE_NAMES = {number: name for name, number in TensorProto.DataType.items() if number}


def graph_inputs(proto: ModelProto) -> list[ValueInfoProto]:
    """The inputs that a caller feeds: older files list their weights among the inputs too."""
    weights = {tensor.name for tensor in proto.graph.initializer}
    return [value for value in proto.graph.input if value.name not in weights]


def shape_of(value: ValueInfoProto) -> tuple[int | str, ...]:
    """The dimensions of an input or output: a number, or where dynamic a name ("?" without one)."""
    return tuple(
        dim.dim_value if dim.dim_value > 0 else (dim.dim_param or "?")
        for dim in value.type.tensor_type.shape.dim
    )


def static_shape(value: ValueInfoProto) -> tuple[int, ...]:
    """The dimensions of an input or output, all of them numbers.

    Raises:
        Fault: model-shape.
    """
    shape = shape_of(value)
    numbers = tuple(length for length in shape if isinstance(length, int))
    if len(numbers) < len(shape):
        raise Fault("model-shape", f"{value.name!r} has the dynamic shape {shape_text(shape)}.", STATIC_HINT)
    return numbers


def shape_text(shape: tuple[int | str, ...]) -> str:
    """A shape as people write it: [batch, 3, 640, 640]."""
    return "[" + ", ".join(map(str, shape)) + "]"


def refuse_interface(proto: ModelProto, toolkit: Toolkit) -> None:
    """Refuse a graph without inputs or outputs, or with some that the toolkit cannot take.

    Raises:
        Fault: model-invalid or model-op.
    """
    inputs = graph_inputs(proto)
    for values, word in ((list(proto.graph.output), "output"), (inputs, "input")):
        if not values:
            raise Fault("model-invalid", f"The model has no {word}.", "Export the model again.")
        for value in values:
            if not value.type.HasField("tensor_type"):
                raise Fault("model-op", f"The {word} {value.name!r} is not a tensor.")
            if value.type.tensor_type.elem_type not in _TYPE_NAMES:
                raise Fault("model-invalid", f"The {word} {value.name!r} has no element type.")
    for value in inputs:
        kind = _TYPE_NAMES[value.type.tensor_type.elem_type].lower()
        if kind not in toolkit.input_types:
            raise Fault(
                "model-op",
                f"Input {value.name!r} is {kind}: {toolkit.other_input_types}.",
                "Export the model with a float32 input and no cast after it; images are fed as bytes anyway.",
            )
