"""What rknn-toolkit 1.7.5's log means: causes of failure, lines worth repeating.

The lines are those of the vendor's documentation and of other people's reports; none was seen here.
docs/measurements/log-lines.md tells where each is from.
"""

import re
from typing import List, Optional

from shared import causes
from shared.causes import Cause
from shared.faults import Fault
from shared.text import COLOUR

CAUSES = (
    *causes.exhausted("toolkit"),
    Cause(
        r"Unsupport onnx opset (\d+), need <= (\d+)",
        "model-opset",
        "the model has opset {0}, this toolkit reads up to {1}",
    ),
    Cause(
        r"No module named '(torch[\w.]*)'",
        "torch-needed",
        "the toolkit needed {0} to work out the graph",
    ),
    Cause(r"No module named '(tensorflow[\w.]*)'", "tensorflow-needed", "the toolkit needed {0} to quantize"),
    Cause(
        r"Unknown level: 'WARNING'",
        "environment-outdated",
        "the environment's PyTorch is newer than this toolkit can use",
    ),
    Cause(
        r"The follow op is not support : \[(.+)\](?:.*\n)+?.*Try match layer: (\S+?)(?::out\d+)? failed",
        "toolkit-op",
        "the toolkit has no operator {0} (at layer {1})",
    ),
    Cause(
        r"Try match layer: (\S+?)(?::out\d+)? failed",
        "toolkit-op",
        "the toolkit cannot convert layer {0}: it lacks the operator, or this form of it",
    ),
    Cause(r"KeyError: '(aten::\w+)'", "toolkit-op", "the toolkit has no operator {0}"),
    Cause(
        r"There is no valid data in the dataset",
        "dataset-invalid",
        "the toolkit could read none of the calibration files",
    ),
    Cause(
        r"Premature end of JPEG|OutOfRangeError|Invalid format detected in the input file",
        "dataset-invalid",
        "the toolkit could not read a calibration file to its end",
    ),
    Cause(
        r"(\w+)\(\) got an unexpected keyword argument '(\w+)'",
        "bad-option",
        "{0}() of this toolkit has no option {1}",
    ),
    Cause(
        r"RKNN model data is None", "toolkit-refused", "the toolkit reported success but has built no model"
    ),
)

CODE = re.compile(r"(\w+) returned ")
EXCEPTION = re.compile(r"^E ([A-Za-z_][\w.]*(?:: .+)?)$", re.MULTILINE)
"""The last line of a traceback as the toolkit logs it."""
WARNINGS = re.compile(
    r"[EW] (?!\s|rknn-toolkit version|Traceback|During handling|The above exc|Please feedback|You can also)"
)


def classify(log: str, error: Optional[str]) -> Optional[Fault]:
    """The fault that a failed attempt stands for: by a known pattern, else by the exception that was logged.

    A bare -1 says nothing; the toolkit logs what it caught before it returns that.
    """
    known = causes.first(CAUSES, log, error)
    call = CODE.match(error or "")
    logged = EXCEPTION.findall(COLOUR.sub("", log))
    if known or not call or not logged:
        return known
    return Fault("toolkit-refused", "%s failed: %s" % (call.group(1), logged[-1]))


def warnings(log: str) -> List[str]:
    """Distinct error and warning lines of a build that the toolkit called successful."""
    lines = [COLOUR.sub("", line).strip() for line in log.splitlines()]
    return list(dict.fromkeys(line for line in lines if WARNINGS.match(line)))
