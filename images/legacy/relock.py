"""What the legacy locks hold."""

from collections.abc import Iterator

from images.installer import lock
from images.legacy import install
from images.relock import Request
from shared import chips
from shared.chips import Toolkit

LAST_PACKAGES = ("--exclude-newer", "2023-06-30")
"""The toolkit's last version is of that year, and what came later was never tried with it."""
PATCH = {"3.6": "3.6.15"}
"""PyTorch does not take the first releases of 3.6."""


def requests(toolkit: Toolkit) -> Iterator[Request]:
    """Per version and Python: the full variant; as parts of it the other one and what builds packages."""
    common, tensorflow, frameworks = (
        (install.HERE / name).read_text() for name in ("requirements.in", "tensorflow.in", "frameworks.in")
    )
    for version in toolkit.versions:
        for python in chips.pythons(toolkit):
            full = install.toolkit_lock(version, python)
            as_there = (*LAST_PACKAGES, "--constraints", str(full))
            without_torch = install.toolkit_lock(version, python, "tensorflow")
            patch = PATCH.get(python, python)
            yield Request(full, patch, common + tensorflow + frameworks, LAST_PACKAGES)
            yield Request(without_torch, patch, common + tensorflow, as_there)
            yield Request(lock(install.HERE, "build", python), patch, "setuptools\nwheel\n", as_there)
