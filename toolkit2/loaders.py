"""How each model format is loaded into rknn-toolkit2."""

from collections.abc import Callable
from typing import Any

from shared.contract import Source


def _onnx(rknn: Any, source: Source) -> int:
    code: int = rknn.load_onnx(model=source.files["model"])
    return code


LOADERS: dict[str, Callable[[Any, Source], int]] = {"onnx": _onnx}
"""Format -> what calls the toolkit; returns its code."""
