"""What a toolkit's log means: patterns and the faults they stand for. Each driver has its own table."""

import re
from typing import Iterable, NamedTuple, Optional, Tuple

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


def exhausted(who: str) -> Tuple[Cause, ...]:
    """What Linux, C++, numpy and PyTorch say where disk or memory end, whoever works ("toolkit")."""
    return (
        Cause(r"No space left on device", "disk-full", "the disk ran full while the %s worked" % who),
        Cause(
            r"std::bad_alloc|MemoryError|Cannot allocate memory|not enough memory"
            r"|Unable to allocate .* for an array",
            "out-of-memory",
            "the %s ran out of memory" % who,
        ),
    )


def first(causes: Iterable[Cause], log: str, error: Optional[str] = None) -> Optional[Fault]:
    """The fault of the first cause that the log or the exception's text shows, or None."""
    text = COLOUR.sub("", "%s\n%s" % (log, error or ""))
    for cause in causes:
        found = re.search(cause.pattern, text, re.MULTILINE)
        if found:
            return Fault(cause.code, cause.message.format(*found.groups()), cause.hint)
    return None
