"""Runs a model once in ONNX Runtime on random input: the proof that a change kept it working."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import ModelProto
from onnx.helper import tensor_dtype_to_np_dtype

from host.sources.onnx.interface import graph_inputs, static_shape
from shared.text import one_line


class TrialError(Exception):
    """ONNX Runtime cannot load or run the model; the text is its one-line cause."""


def random_inputs(proto: ModelProto) -> dict[str, NDArray[Any]]:
    """Seeded values for every input: floats in 0..1, integers 0 or 1 (an index that nearly every table has).

    Raises:
        Fault: model-shape when an input is not static.
    """
    rng = np.random.default_rng(0)
    inputs = {}
    for value in graph_inputs(proto):
        dtype = tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        values = rng.random(static_shape(value)) * (1 if np.issubdtype(dtype, np.floating) else 2)
        inputs[value.name] = np.asarray(values).astype(dtype)
    return inputs


def session(model: str | bytes, **options: Any) -> Any:
    """An ONNX Runtime session that keeps its log to itself.

    Args:
        model: a file, or its content.
        options: of `SessionOptions`.
    """
    told = ort.SessionOptions()
    told.log_severity_level = 4  # what goes wrong is raised; its own lines would reach the user's screen
    for name, value in options.items():
        setattr(told, name, value)
    return ort.InferenceSession(model, told, providers=["CPUExecutionProvider"])


def run(proto: ModelProto, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
    """The model's outputs, in graph order.

    Raises:
        TrialError: ONNX Runtime refuses the model or the input.
    """
    try:
        return list(session(proto.SerializeToString()).run(None, dict(inputs)))
    except Exception as error:  # onnxruntime's exceptions share no base class of their own
        raise TrialError(one_line(error)) from error
