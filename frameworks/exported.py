"""What an exporter hands over: the ONNX file is written, and the framework itself can still be asked."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from numpy.typing import NDArray

Array = NDArray[Any]
Run = Callable[[Sequence[Array]], Sequence[Array]]
"""The ONNX file's inputs, in their order and layout -> the framework's outputs, in the file's order."""


class Exported(NamedTuple):
    """An export that is not proven yet."""

    run: Run
    labels: Sequence[str] = ()
    """Names of the classes, where the source has them."""
    notes: Sequence[str] = ()
    """What was decided or changed on the way, a phrase each."""
