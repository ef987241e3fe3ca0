"""Logs and messages as people read them."""

import re

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
"""A terminal's colour codes, which the toolkits write into files too."""
LONGEST = 300
"""Characters of somebody else's message that still help."""


def one_line(text: object) -> str:
    """Somebody else's message, an exception's for example, as one line that is not too long."""
    return " ".join(str(text).split())[:LONGEST]
