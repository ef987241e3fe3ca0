"""What rknn-toolkit2's log means: progress, suggestions, causes of failure, lines worth repeating.

The log is for people, not for machines, but it is regular once its colours are gone. Patterns were
taken from runs of versions 2.2.0 to 2.5.0; see docs/measurements/log-lines.md.
"""

import re

from shared import causes
from shared.causes import Cause
from shared.contract import Event, Job
from shared.faults import Fault
from shared.harness import Retry
from shared.text import COLOUR

QUANTIZING = re.compile(r"^I (Quantizating|MmseQuant)[^/]*?(\d+)/(\d+)")
BUILDING = re.compile(r"^I rknn building \.\.\.")
CLOCK = re.compile(r"\[\d\d:\d\d:\d\d\.\d+\] ")
DISABLE_RULES = re.compile(r"disable_rules=\[([^\]]+)\]")


TRACE = "Save the model with torch.jit.trace, if torch.jit.script made it, or replace the operator."

CAUSES = (
    Cause(r"torch-needed: (.*)", "torch-needed", "the toolkit needed PyTorch for this graph ({0})"),
    Cause(
        r"'import tensorflow' failed|No module named 'tensorflow'",
        "tensorflow-needed",
        "the toolkit needs TensorFlow to load this format",
        hint="Use --variant tensorflow.",
    ),
    *causes.exhausted("toolkit"),
    Cause(
        r"Unsupport onnx opset (\d+), need <= (\d+)",
        "model-opset",
        "the model has opset {0}, this toolkit reads up to {1}",
    ),
    Cause(
        r"No lowering found for: .*node type = (\w+)",
        "toolkit-op",
        "the NPU has no implementation of the operator {0}",
        silent=True,
    ),
    Cause(
        r"unresolved custom op: ([\w.]+?)\.?(?:\s|$)",
        "toolkit-op",
        "the model has the operator {0}, which is no part of TensorFlow Lite",
    ),
    Cause(
        r"The following operators are not implemented: \[(.+?)\]",
        "toolkit-op",
        "the toolkit has no operator {0}",
        hint=TRACE,
    ),
    Cause(r"Layer of type (\w+) not supported", "toolkit-op", "the toolkit has no layers of type {0}"),
    Cause(
        r"The (\w+)\('(.+)'\) will cause the graph to be a dynamic graph",
        "toolkit-op",
        "control flow cannot be compiled ({0}, {1})",
        hint="Cut it off with --inputs and --outputs.",
    ),
    Cause(
        r"AssertionError: (\S+) is not in graph",
        "bad-option",
        "the graph has no node {0}",
        hint="Correct --inputs or --outputs.",
    ),
    Cause(
        r"failed locating file constants\.pkl",
        "model-format",
        "the file is a checkpoint of PyTorch, not TorchScript",
    ),
    Cause(
        r"If a quantized model has been import",
        "dtype-unsupported",
        "the model is quantized already, and cannot be quantized again",
    ),
    Cause(
        r"No opset import for domain '(.+)'", "model-op", "the model has operators of the custom domain {0}"
    ),
    Cause(
        r"Not Support Dtype: (\d+)\. please", "model-op", "the model casts to a type the compiler aborts on"
    ),
    Cause(r"The input shape (\[.+\]) of '(.+)' is not support", "model-shape", "input {1} has the shape {0}"),
    Cause(r"cannot convert float NaN", "model-weights", "the model has weights that are not numbers"),
    Cause(
        r"The quantized_dtype = '(\w+)' not support in '(\w+)'",
        "dtype-unsupported",
        "the toolkit has no {0} for {1}",
    ),
    Cause(r"Invalid quantized_dtype '(\w+)'", "dtype-unsupported", "this version of the toolkit has no {0}"),
    Cause(
        r"target_platform\((\w+)\) not support do_quantization = False",
        "dtype-unsupported",
        "the toolkit builds no floats for {0}",
    ),
    Cause(
        r"Meet unsupported (?:conv|tensor dtype)[^\n]*",
        "dtype-unsupported",
        "the compiler has no such operation in this dtype for the chip and aborted",
    ),
    Cause(r"(Invalid \w+ '\S+', expect in .*)", "bad-option", "{0}"),
    Cause(r"(The value of \w+ only support <class '\w+'>)", "bad-option", "{0}"),
    Cause(r"(The \S+ = '\S+' only support (?:in|when) .*)", "bad-option", "{0}"),
    # last: the toolkit leaves such a layer out at the end of a model, and often goes on well
    Cause(
        r"OP in Layer (\S+) Current not support",
        "toolkit-op",
        "the toolkit has no operator for the layer {0}",
    ),
)

WARNINGS = re.compile(r"^E (?!RKNN: .*Unkown op target: 0)")


def progress(line: str) -> Event | None:
    """The stage, and the count within it, that a line of the log shows."""
    line = COLOUR.sub("", line)
    count = QUANTIZING.match(line)
    if count:
        return Event(0.0, "quantize", "tensors", int(count.group(2)), int(count.group(3)))
    if BUILDING.match(line):
        return Event(0.0, "build", "", 0, 0)
    return None


def retry(job: Job, log: str) -> Retry | None:
    """Leave out the fuse rules that the toolkit says it failed in, unless they are left out already."""
    if "torch-needed" in log:
        return None
    disabled = list(job.config.get("disable_rules", []))
    named = [
        name.strip(" '\"")
        for found in DISABLE_RULES.findall(COLOUR.sub("", log))
        for name in found.split(",")
    ]
    new = [name for name in dict.fromkeys(named) if name not in disabled]
    if not new:
        return None
    return Retry(f"fuse rule {', '.join(new)} failed", {"disable_rules": disabled + new})


def classify(log: str, error: str | None) -> Fault | None:
    """The fault that the log of a failed attempt stands for, if a known pattern tells."""
    return causes.first(CAUSES, log, error)


def hidden(log: str) -> Fault | None:
    """The fault that a build's log tells although the toolkit called it a success."""
    return causes.first((cause for cause in CAUSES if cause.silent), log)


def warnings(log: str) -> list[str]:
    """Distinct error and warning lines of a build that the toolkit called successful, without their times."""
    lines = [CLOCK.sub("", COLOUR.sub("", line)).strip() for line in log.splitlines()]
    return list(dict.fromkeys(line for line in lines if WARNINGS.match(line)))
