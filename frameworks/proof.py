"""Whether an ONNX file computes what the framework computes."""

from typing import Any

import numpy
import onnxruntime

from frameworks.exported import Array, Run
from shared.faults import Fault

LIMIT = 1e-3
"""Largest difference in any output, as a share of the output's largest value."""
SMALLEST = 1e-3
"""Outputs below it are near nothing: the rounding of what they were computed from is all that differs."""
SEED = 0


def examine(path: str, run: Run) -> dict[str, Any]:
    """Compare on noise; what the file has for inputs and outputs, and the difference.

    Raises:
        Fault: graph-changed.
    """
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    ports = session.get_inputs()
    random = numpy.random.default_rng(SEED)
    fed = [_noise(random, port.shape, port.type) for port in ports]
    found = session.run(None, {port.name: array for port, array in zip(ports, fed, strict=True)})
    expected = [numpy.asarray(array) for array in run(fed)]
    outputs = [port.name for port in session.get_outputs()]
    if [array.shape for array in expected] != [array.shape for array in found]:
        raise Fault(
            "graph-changed",
            f"the ONNX file has outputs of {_shapes(found)}, the framework of {_shapes(expected)}",
            HINT,
        )
    differences = [distance(one, other) for one, other in zip(expected, found, strict=True)]
    worst = max(differences, default=0.0)
    if not worst <= LIMIT:
        name = outputs[differences.index(worst)]
        message = f"the ONNX file computes something else: {name} is off by {worst:.2g} of its largest value"
        raise Fault("graph-changed", message, HINT)
    return {
        "inputs": [{"name": port.name, "shape": list(port.shape)} for port in ports],
        "outputs": [
            {"name": name, "shape": list(array.shape)} for name, array in zip(outputs, found, strict=True)
        ],
        "difference": worst,
    }


HINT = "Export the model to ONNX with the framework it was made with, and please report the model."


def distance(expected: Array, found: Array) -> float:
    """The largest difference as a share of the largest value expected; inf where either is not finite."""
    if not expected.size:
        return 0.0
    one, other = expected.astype(numpy.float64), found.astype(numpy.float64)
    if not (numpy.isfinite(one).all() and numpy.isfinite(other).all()):
        return float("inf")
    return float(abs(one - other).max() / max(abs(one).max(), SMALLEST))


def _noise(random: numpy.random.Generator, shape: list[int], kind: str) -> Array:
    """Values from 0 to 1 for floats, 0 to 255 for bytes, 0 and 1 for what may be an index or a flag."""
    if kind in ("tensor(float)", "tensor(float16)", "tensor(double)"):
        dtype = {"tensor(float)": "float32", "tensor(float16)": "float16"}.get(kind, "float64")
        return random.random(shape).astype(dtype)
    name = {"tensor(bool)": "bool"}.get(kind, kind.removeprefix("tensor(").removesuffix(")"))
    return random.integers(0, 256 if name == "uint8" else 2, shape).astype(name)


def _shapes(arrays: list[Array]) -> str:
    return ", ".join("x".join(map(str, array.shape)) or "()" for array in arrays)
