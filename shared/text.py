"""Logs as people read them."""

import re

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
"""A terminal's colour codes, which the toolkits write into files too."""
