"""Judges the file that the toolkit exported, as far as that is possible: its format is not documented."""

import os
from typing import List

from shared.artifact import measured
from shared.contract import Artifact, Job
from shared.faults import Fault

MAGIC = b"RKNN"
"""How the vendor's other toolkit begins its files."""
LEAST_BYTES = 1024
"""No network fits into less."""


def verify(job: Job, path: str) -> Artifact:
    """The artefact in `path`; Fault artifact-invalid when there is none, or next to nothing in it."""
    size = os.path.getsize(path) if os.path.isfile(path) else 0
    if size < LEAST_BYTES:
        raise Fault("artifact-invalid", "the toolkit left %d bytes, too few for any model" % size)
    return measured(job, path)


def remarks(path: str) -> List[str]:
    """What a person should be told about an exported file."""
    with open(path, "rb") as stream:
        if stream.read(len(MAGIC)) == MAGIC:
            return []
    return [
        "the file does not begin with %s: rkforge's authors never saw a file of this toolkit, so this may be "
        "right; try it on the board before you rely on it" % MAGIC.decode()
    ]
