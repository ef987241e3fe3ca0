"""Settles the shapes of a model's inputs where rkforge has no graph to change: what a loader will be told."""

from collections.abc import Iterator, Sequence

from host.sources.image_size import refuse_other_size, spatial
from host.sources.onnx.interface import shape_text
from host.sources.source import Port, TensorSpec
from shared.faults import Fault

_COLOURS = 3
_WHOLE, _AGAIN = "give whole shapes with --input-sizes", "save the model at the size you want"
_ASK = "Give it with --input-sizes, for example {}, or with --size WIDTHxHEIGHT for one image input."


def settle(
    ports: Sequence[Port],
    sizes: Sequence[tuple[int, ...]],
    size: tuple[int, int] | None,
    changeable: bool,
) -> tuple[tuple[TensorSpec, ...], tuple[str, ...]]:
    """The inputs with one shape each, and what was settled, a phrase each.

    Args:
        ports: the inputs as the file tells of them.
        sizes: shapes that the user gave, one per input, or none.
        size: width and height for an image input that leaves them open.
        changeable: whether the loader is told shapes; if not, those of the file hold.

    Raises:
        Fault: model-shape for what stays open, bad-option for sizes that do not fit the inputs.
    """
    if sizes and len(sizes) != len(ports):
        names = ", ".join(port.name for port in ports)
        raise Fault(
            "bad-option", f"--input-sizes: {len(sizes)} shapes for {len(ports)} inputs", f"Inputs: {names}."
        )
    notes: list[str] = []
    specs = []
    for number, port in enumerate(ports):
        shape = sizes[number] if sizes else tuple(_settled(port, size, changeable, len(ports) == 1, notes))
        last = port.channels_last if port.shape else port.channels_last and len(shape) == 4
        specs.append(TensorSpec(port.name, shape, port.dtype, last))
    if size and not sizes:
        refuse_other_size(specs, size, _WHOLE if changeable else _AGAIN)
    return tuple(specs), tuple(notes)


def _settled(
    port: Port, size: tuple[int, int] | None, changeable: bool, alone: bool, notes: list[str]
) -> Iterator[int]:
    """The lengths of one input's axes."""
    shape = port.shape
    if not shape and size and changeable and alone:
        shape = (1, "height", "width", _COLOURS) if port.channels_last else (1, _COLOURS, "height", "width")
        notes.append(f"input {port.name!r}: taken for an image of {_COLOURS} channels")
    if not shape:
        raise Fault(
            "model-shape",
            f"The file does not tell the shape of its input {port.name!r}.",
            _ASK.format("1x224x224x3" if port.channels_last else "1x3x224x224"),
        )
    axes = spatial(shape, port.channels_last)
    for axis, length in enumerate(shape):
        if axis == 0 and len(shape) > 1 and (isinstance(length, str) or (changeable and length > 1)):
            notes.append(f"input {port.name!r} {shape_text(shape)}: batch fixed to 1")
            yield 1
        elif isinstance(length, int):
            yield length
        elif changeable and size and axis in axes:
            if axis == axes[0]:
                notes.append(f"input {port.name!r} {shape_text(shape)}: size fixed to {size[0]}x{size[1]}")
            yield size[1 - axes.index(axis)]
        else:
            raise Fault(
                "model-shape",
                f"Input {port.name!r} has the open shape {shape_text(shape)}: "
                f"{'height and width' if axis in axes else f'dimension {axis}'} must be known.",
                "" if changeable and axis in axes else _hint(changeable),
            )


def _hint(changeable: bool) -> str:
    return "Give the shape with --input-sizes." if changeable else "Save the model with a fixed input shape."
