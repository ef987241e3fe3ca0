"""Brings a model into the opsets that a toolkit is given, and proves that it computes the same."""

from typing import Any

import numpy as np
import onnx.checker
from numpy.typing import NDArray
from onnx import ModelProto
from onnx.version_converter import convert_version

from host.sources.onnx.lowering import OpsetError, lowered
from host.sources.onnx.trial import TrialError, random_inputs, run
from host.sources.onnx.view import STANDARD
from shared.faults import Fault
from shared.text import one_line

_TOLERANCE = 1e-5


def opset_of(proto: ModelProto) -> int:
    """The version of the standard operator set that the model is written in."""
    return next((entry.version for entry in proto.opset_import if entry.domain in STANDARD), 0)


def fit_opset(proto: ModelProto, oldest: int, newest: int, max_ir_version: int) -> tuple[str, ...]:
    """Rewrite a model whose opset is too old or too new, in place; its inputs must be static.

    The version of the file format (IR) is lowered without a word: what a newer one brought is not in use
    once the opset is an older one.

    Returns:
        What was changed, a phrase each.

    Raises:
        Fault: model-opset when there is no equivalent (outputs within 1e-5 on random input) that is in range.
    """
    opset = opset_of(proto)
    proto.ir_version = min(proto.ir_version, max_ir_version)
    to = min(max(opset, oldest), newest)
    if to == opset:
        return ()
    done, rewrite = ("lowered", lowered) if to < opset else ("raised", _raised)
    try:
        proto.CopyFrom(_proved(proto, rewrite(proto, opset, to)))
    except (OpsetError, TrialError) as error:
        raise Fault(
            "model-opset",
            f"The model uses opset {opset}, the toolkit is given {oldest} to {newest}, "
            f"and it cannot be {done}: {error}.",
            f"Export the model again with opset {oldest} to {newest}.",
        ) from error
    return (f"opset {done} from {opset} to {to}, outputs equal within {_TOLERANCE:g}",)


def _raised(proto: ModelProto, _opset: int, to: int) -> ModelProto:
    """The model in a newer opset, by ONNX's own converter, which has all adapters for this way."""
    try:
        return convert_version(proto, to)
    except Exception as error:  # the C++ converter raises whatever it comes upon
        raise OpsetError(_line(error)) from error


def _proved(proto: ModelProto, other: ModelProto) -> ModelProto:
    """The other model; OpsetError or TrialError unless it is valid and computes the same."""
    try:
        onnx.checker.check_model(other)
    except onnx.checker.ValidationError as error:
        raise OpsetError(_line(error)) from error
    inputs = random_inputs(proto)
    try:
        before = run(proto, inputs)
    except TrialError as error:
        raise OpsetError(f"ONNX Runtime cannot run it as it is: {error}") from error
    after = run(other, inputs)
    if not all(_equal(a, b) for a, b in zip(before, after, strict=True)):
        raise OpsetError("its outputs change")
    return other


def _line(error: Exception) -> str:
    return one_line(str(error).split("==>")[0]).rstrip(".")


def _equal(before: NDArray[Any], after: NDArray[Any]) -> bool:
    return before.shape == after.shape and np.allclose(before, after, _TOLERANCE, _TOLERANCE, equal_nan=True)
