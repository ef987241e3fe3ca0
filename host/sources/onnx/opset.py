"""Brings a model down to the newest opset that a toolkit reads, and proves that it computes the same."""

from typing import Any

import numpy as np
import onnx.checker
from numpy.typing import NDArray
from onnx import ModelProto

from host.sources.onnx.lowering import LoweringError, lowered
from host.sources.onnx.trial import TrialError, random_inputs, run
from shared.faults import Fault

_TOLERANCE = 1e-5


def opset_of(proto: ModelProto) -> int:
    """The version of the standard operator set that the model is written in."""
    return next((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), 0)


def lower_opset(proto: ModelProto, max_opset: int, max_ir_version: int) -> tuple[str, ...]:
    """Rewrite a model whose opset is too new, in place; its inputs must be static.

    The version of the file format (IR) is lowered without a word: what a newer one brought is not in use
    once the opset is an older one.

    Returns:
        What was changed, a phrase each.

    Raises:
        Fault: model-opset when there is no equivalent (outputs within 1e-5 on random input) at `max_opset`.
    """
    opset = opset_of(proto)
    proto.ir_version = min(proto.ir_version, max_ir_version)
    if opset <= max_opset:
        return ()
    try:
        proto.CopyFrom(_proved(proto, opset, max_opset))
    except (LoweringError, TrialError) as error:
        raise Fault(
            "model-opset",
            f"The model uses opset {opset}, the toolkit reads up to {max_opset}, "
            f"and lowering it fails: {error}.",
            f"Export the model again with opset {max_opset} or lower.",
        ) from error
    return (f"opset lowered from {opset} to {max_opset}, outputs equal within {_TOLERANCE:g}",)


def _proved(proto: ModelProto, opset: int, max_opset: int) -> ModelProto:
    """The model in the older opset; LoweringError or TrialError unless it is valid and computes the same."""
    older = lowered(proto, opset, max_opset)
    try:
        onnx.checker.check_model(older)
    except onnx.checker.ValidationError as error:
        raise LoweringError(" ".join(str(error).split("==>")[0].split())[:300].rstrip(".")) from error
    inputs = random_inputs(proto)
    before, after = run(proto, inputs), run(older, inputs)
    if not all(_equal(a, b) for a, b in zip(before, after, strict=True)):
        raise LoweringError("its outputs change")
    return older


def _equal(before: NDArray[Any], after: NDArray[Any]) -> bool:
    return before.shape == after.shape and np.allclose(before, after, _TOLERANCE, _TOLERANCE, equal_nan=True)
