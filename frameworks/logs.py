"""What the frameworks' messages mean for a person."""

from shared import causes
from shared.causes import Cause
from shared.faults import Fault

CAUSES = (
    *causes.exhausted("framework"),
    Cause(
        r"No module named '([\w.]+)'",
        "model-format",
        "the checkpoint needs the Python module {0}, the code of its network, which is not here",
    ),
    Cause(
        r"Can't get attribute '(\w+)' on <module '([\w.]+)'",
        "model-format",
        "the checkpoint needs {0} of the Python module {1}, which this version does not have",
    ),
    Cause(
        r"Unsupported (?:global|operand|class|operator|type).*?GLOBAL (\S+)",
        "pickle-refused",
        "PyTorch's restricted unpickler refuses {0}",
    ),
    Cause(
        r"Only persistent_load of storage is allowed",
        "pickle-refused",
        "PyTorch's restricted unpickler reads no networks in the format before 1.6",
    ),
    Cause(
        r"Weights only load failed", "pickle-refused", "PyTorch's restricted unpickler refuses the checkpoint"
    ),
    Cause(
        r"Exporting the operator '([\w:]+)' to ONNX opset version (\d+) is not supported",
        "model-op",
        "the operator {0} has no form in ONNX opset {1}",
    ),
    Cause(
        r"Tensorflow op \[[^\]]*: (\w+)\] is not supported",
        "model-op",
        "the operator {0} has no form in ONNX",
    ),
    Cause(
        r"TFLite op \[[^\]]*: (\w+)\] is not supported", "model-op", "the operator {0} has no form in ONNX"
    ),
    Cause(r"Encountered unresolved custom op: (\w+)", "model-op", "the file has the custom operator {0}"),
    Cause(r"ONNX export requires opset>=(\d+)", "model-opset", "the network needs opset {0} or later"),
    Cause(
        r"Unknown layer: '?(\w+)|Could not locate class '(\w+)'",
        "model-op",
        "the file has a layer of the user's own: {0}",
    ),
    Cause(
        r"Requested the deserialization of a `?Lambda`? (?:layer|whose)",
        "pickle-refused",
        "the file has a Lambda layer: Python code that would run",
    ),
)


def classify(log: str, error: str | None) -> Fault | None:
    """The fault that the log of a failed export stands for, if a known pattern tells."""
    return causes.first(CAUSES, log, error)
