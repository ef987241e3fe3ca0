"""What every reader says of a file that is not what it should be."""

from pathlib import Path

from shared.faults import Fault

CUT_SHORT = "it is cut short or damaged"


def damaged(path: Path, title: str, cause: str = CUT_SHORT) -> Fault:
    """The fault of a file that does not read as what it was recognised as."""
    return Fault("model-invalid", f"{path} does not read as {title}: {cause}.")
