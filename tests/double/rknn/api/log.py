"""Logs as the toolkit does: level, space, text. What is raised inside a call becomes -1 and such lines."""

import functools
import inspect
import sys
import traceback
from typing import Any, Callable, Tuple

FEEDBACK = "log_feedback_to_the_rknn_toolkit_dev_team.log"


class Refused(Exception):
    """The toolkit logs what is wrong and gives up; `lines` are (level, text), the level empty for none."""

    def __init__(self, *lines: Tuple[str, str]) -> None:
        super().__init__(lines[-1][1])
        self.lines = lines


def say(level: str, text: str) -> None:
    """Log one line."""
    sys.stderr.write(("%s %s" % (level, text)).strip() + "\n")


def call(doing: str, failed: Any = -1) -> Callable[..., Any]:
    """Marks a public call: records its arguments, and returns `failed` for what it raises.

    Arguments are taken by keyword only; those that the signature does not have raise TypeError.
    """

    def decorate(method: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(method)

        @functools.wraps(method)
        def recorded(self: Any, **arguments: Any) -> Any:
            signature.bind(self, **arguments)
            self.calls.append({"call": method.__name__, "arguments": arguments})
            try:
                return method(self, **arguments)
            except Exception as error:
                _confess(error, doing.format(**arguments))
                return failed

        return recorded

    return decorate


def _confess(error: Exception, doing: str) -> None:
    for level, text in getattr(error, "lines", ()):
        say(level, text)
    say("E", "Catch exception when %s!" % doing)
    for line in traceback.format_exc().splitlines():
        say("E", line)
    say("E", "Please feedback the detailed log file <%s> to the RKNN Toolkit development team." % FEEDBACK)
    say("E", "You can also check github issues: https://github.com/rockchip-linux/rknn-toolkit/issues")
    with open(FEEDBACK, "a") as stream:
        traceback.print_exc(file=stream)
