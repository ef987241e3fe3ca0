"""Image inputs of TensorFlow's formats: channels last there, channels first in what rkforge prepares."""

from collections.abc import Sequence

from frameworks.exported import Array
from shared.faults import Fault

CHANNELS = (1, 3, 4)


def is_image(shape: Sequence[int | None]) -> bool:
    """Whether a shape is that of images with channels last."""
    return len(shape) == 4 and shape[3] in CHANNELS and shape[1] not in CHANNELS


def settled(name: str, shape: Sequence[int | None], size: Sequence[int] | None) -> list[int]:
    """The shape without open lengths: one image, of the size [width, height] where the file leaves it open.

    Raises:
        Fault: model-shape where that does not close it.
    """
    found = [1 if axis == 0 and not length else length for axis, length in enumerate(shape)]
    if size and is_image(found):
        found[1:3] = [found[1] or size[1], found[2] or size[0]]
    closed = [length for length in found if length]
    if not found or len(closed) < len(found):
        text = "x".join(str(length or "?") for length in found) or "unknown"
        raise Fault("model-shape", f"input {name} has the shape {text}")
    return closed


def first(shape: Sequence[int]) -> list[int]:
    """The shape of an image input with its channels first."""
    return [shape[0], shape[3], shape[1], shape[2]]


def channels_last(arrays: Sequence[Array], turned: Sequence[bool]) -> list[Array]:
    """The inputs of the ONNX file as the framework has them."""
    return [
        array.transpose(0, 2, 3, 1) if each else array for array, each in zip(arrays, turned, strict=True)
    ]


def notes(names: Sequence[str], turned: Sequence[bool]) -> list[str]:
    """What is said of the inputs that were turned."""
    return [
        f"input {name} has its channels first in the ONNX file"
        for name, each in zip(names, turned, strict=True)
        if each
    ]
