"""Height and width of image inputs, whatever the format, and what --size cannot change about them."""

from collections.abc import Sequence

from host.sources.source import Port, TensorSpec
from shared.faults import Fault


def spatial(shape: Sequence[int | str], channels_last: bool) -> tuple[int, ...]:
    """The axes of height and width; empty for an input that is no image."""
    if len(shape) != 4:
        return ()
    return (1, 2) if channels_last else (2, 3)


def refuse_other_size(inputs: Sequence[Port | TensorSpec], size: tuple[int, int], cure: str) -> None:
    """Refuse a size (width, height) that no image input has.

    Args:
        inputs: of the model, their shapes settled.
        size: what was asked for.
        cure: how the model would get it, after "Leave --size out, or".

    Raises:
        Fault: model-shape.
    """
    sizes = {
        each.name: tuple(each.shape[axis] for axis in reversed(axes))
        for each in inputs
        if (axes := spatial(each.shape, each.channels_last))
    }
    if not sizes:
        raise Fault("model-shape", "The model has no image input that --size could set.", "Leave --size out.")
    if size not in sizes.values():
        name, (width, height) = next(iter(sizes.items()))
        raise Fault(
            "model-shape",
            f"--size asks for {size[0]}x{size[1]}, but input {name!r} is fixed at {width}x{height}.",
            f"Leave --size out, or {cure}.",
        )
