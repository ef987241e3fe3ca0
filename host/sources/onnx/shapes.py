"""Gives every input of a model a fixed shape: the NPU compiles for one size.

The change is made in place and proved by running the model; shapes that no longer hold are inferred again.
"""

from collections.abc import Iterator

from onnx import ModelProto, ValueInfoProto
from onnx.helper import make_tensor_value_info

from host.sources.image_size import refuse_other_size, spatial
from host.sources.onnx.inference import note_shapes
from host.sources.onnx.interface import STATIC_HINT, graph_inputs, shape_of, shape_text
from host.sources.onnx.trial import TrialError, random_inputs, run
from host.sources.source import Port
from shared.faults import Fault

_CHANNELS = (1, 3, 4)


def fix_shapes(proto: ModelProto, size: tuple[int, int] | None) -> tuple[str, ...]:
    """Set a dynamic batch to 1 and a dynamic height and width to `size` (width, height), in place.

    Returns:
        What was changed, a phrase each.

    Raises:
        Fault: model-shape when a dynamic dimension remains or the model does not run at these shapes.
    """
    inputs = graph_inputs(proto)
    notes = tuple(note for value in inputs for note in _fix_input(value, size))
    if size:
        refuse_other_size([*map(_port, inputs)], size, "export the model at the size you want")
    if notes or not all(_is_static(value) for value in proto.graph.output):
        _renew_shapes(proto)
    return notes


def _fix_input(value: ValueInfoProto, size: tuple[int, int] | None) -> Iterator[str]:
    tensor = value.type.tensor_type
    if not tensor.shape.dim:
        raise Fault("model-shape", f"Input {value.name!r} has no dimensions.", STATIC_HINT)
    before = shape_of(value)
    if len(before) > 1 and isinstance(before[0], str):
        tensor.shape.dim[0].dim_value = 1
        yield f"input {value.name!r} {shape_text(before)}: batch fixed to 1"
    axes = spatial(before, _port(value).channels_last)
    open_axes = [axis for axis, length in enumerate(shape_of(value)) if isinstance(length, str)]
    by_size = bool(open_axes) and set(open_axes) <= set(axes)
    if open_axes and not (by_size and size):
        what = "height and width" if by_size else f"dimension {open_axes[0]}"
        raise Fault(
            "model-shape",
            f"Input {value.name!r} has the dynamic shape {shape_text(before)}: {what} must be known.",
            "" if by_size else STATIC_HINT,
        )
    if open_axes and size:
        for axis in open_axes:
            tensor.shape.dim[axis].dim_value = size[1 - axes.index(axis)]
        yield f"input {value.name!r} {shape_text(before)}: size fixed to {size[0]}x{size[1]}"


def _port(value: ValueInfoProto) -> Port:
    """An input; its channels come last where only the last axis can be channels."""
    shape = shape_of(value)
    last = len(shape) == 4 and shape[3] in _CHANNELS and shape[1] not in _CHANNELS
    return Port(value.name, shape, "", last)


def _is_static(value: ValueInfoProto) -> bool:
    return value.type.tensor_type.HasField("shape") and all(isinstance(n, int) for n in shape_of(value))


def _renew_shapes(proto: ModelProto) -> None:
    """Drop the shapes inferred for the old input; infer them again, and take the outputs' from a run."""
    del proto.graph.value_info[:]
    for value in proto.graph.output:
        value.type.tensor_type.ClearField("shape")
    inputs = random_inputs(proto)
    try:
        outputs = run(proto, inputs)
    except TrialError as error:
        shapes = ", ".join(f"{name} {shape_text(array.shape)}" for name, array in inputs.items())
        raise Fault(
            "model-shape",
            f"The model does not run at {shapes}: {error}",
            "Give another --size, or export the model with a static shape.",
        ) from error
    for value, output in zip(proto.graph.output, outputs, strict=True):
        value.CopyFrom(make_tensor_value_info(value.name, value.type.tensor_type.elem_type, output.shape))
    note_shapes(proto)
