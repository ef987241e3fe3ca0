"""What the toolkit2 locks hold."""

from collections.abc import Iterator

from images.installer import lock
from images.relock import Request
from images.toolkit2 import install
from shared import chips
from shared.chips import Toolkit

BUILT = ("--only-binary", ":all:")


def requests(toolkit: Toolkit) -> Iterator[Request]:
    """A lock per version and Python, and TensorFlow's per Python that has it."""
    common = (install.HERE / "requirements.in").read_text()
    options = (*BUILT, "--excludes", str(install.HERE / "excludes.txt"))
    for python in chips.pythons(toolkit):
        for version in toolkit.versions:
            wanted = f"{common}\n{toolkit.package}=={version}"
            yield Request(lock(install.HERE, version, python), python, wanted, options)
    wanted = (install.HERE / "tensorflow.in").read_text()
    options = (*BUILT, "--excludes", str(install.HERE / "tensorflow-excludes.txt"))
    for python in toolkit.variants[install.TENSORFLOW].pythons:
        yield Request(lock(install.HERE, install.TENSORFLOW, python), python, wanted, options)
