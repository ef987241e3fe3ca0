"""What a toolkit's log means: patterns and the faults they stand for. Each driver has its own table."""

import re
from typing import Iterable, NamedTuple, Optional

from shared.faults import Fault
from shared.text import COLOUR

ANOTHER_ROUTE = ("toolkit-op", "toolkit-crashed", "toolkit-refused")
"""Faults of a toolkit's own loader after which another way to the same chip may lead on, by way of ONNX."""


class Cause(NamedTuple):
    """A pattern of the log and the fault it stands for; `{0}` in the message is the pattern's first group."""

    pattern: str
    code: str
    message: str
    silent: bool = False
    """The toolkit prints this and still returns success: the file it leaves is useless."""
    hint: str = ""


def first(causes: Iterable[Cause], log: str) -> Optional[Fault]:
    """The fault of the first cause that the log shows, or None."""
    text = COLOUR.sub("", log)
    for cause in causes:
        found = re.search(cause.pattern, text, re.MULTILINE)
        if found:
            return Fault(cause.code, cause.message.format(*found.groups()), cause.hint)
    return None
