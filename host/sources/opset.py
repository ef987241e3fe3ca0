"""Brings a model down to the newest opset that a toolkit reads, and proves that it computes the same."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto
from onnx.version_converter import convert_version

from host.sources.trial import TrialError, random_inputs, run
from shared.faults import Fault

_TOLERANCE = 1e-5
# what every environment's onnx reads, down to the 1.14 of rknn-toolkit2 2.2.0; opset 19 needs no more
_MAX_IR_VERSION = 9


def opset_of(proto: ModelProto) -> int:
    """The version of the standard operator set that the model is written in."""
    return next((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), 0)


def lower_opset(proto: ModelProto, max_opset: int) -> tuple[str, ...]:
    """Rewrite a model whose opset is too new, in place; its inputs must be static.

    Returns:
        What was changed, a phrase each.

    Raises:
        Fault: model-opset when there is no equivalent (outputs within 1e-5 on random input) at `max_opset`.
    """
    opset = opset_of(proto)
    proto.ir_version = min(proto.ir_version, _MAX_IR_VERSION)
    if opset <= max_opset:
        return ()
    proto.CopyFrom(_convert(proto, opset, max_opset))
    return (f"opset lowered from {opset} to {max_opset}, outputs equal within {_TOLERANCE:g}",)


def _convert(proto: ModelProto, opset: int, max_opset: int) -> ModelProto:
    try:
        lowered = convert_version(proto, max_opset)
    except Exception as error:  # the C++ converter raises whatever stops it
        cause = str(error).rsplit("failed: ", 1)[-1]  # before that: its source file and line
        raise _too_new(opset, max_opset, " ".join(cause.split())[:300]) from error
    lowered.ir_version = proto.ir_version
    inputs = random_inputs(proto)
    try:
        before, after = run(proto, inputs), run(lowered, inputs)
    except TrialError as error:
        raise _too_new(opset, max_opset, str(error)) from error
    if not all(_equal(a, b) for a, b in zip(before, after, strict=True)):
        raise _too_new(opset, max_opset, "its outputs change")
    if not lowered.metadata_props:  # the converter drops them
        lowered.metadata_props.extend(proto.metadata_props)
    return lowered


def _equal(before: NDArray[Any], after: NDArray[Any]) -> bool:
    return before.shape == after.shape and np.allclose(before, after, _TOLERANCE, _TOLERANCE, equal_nan=True)


def _too_new(opset: int, max_opset: int, cause: str) -> Fault:
    return Fault(
        "model-opset",
        f"The model uses opset {opset}, the toolkit reads up to {max_opset}, and lowering it fails: {cause}.",
        f"Export the model again with opset {max_opset} or lower.",
    )
