"""What the locks of PyTorch hold."""

from collections.abc import Iterator

from images.pytorch import sources
from images.relock import Request

PYTHONS = ("3.10", "3.11", "3.12")
RESOLVED = ("cpu-index", "pypi")
"""The sources that locks are made from; the source `wheels` uses the lock of `cpu-index`."""


def requests() -> Iterator[Request]:
    """A lock per source and Python."""
    for python in PYTHONS:
        for name in RESOLVED:
            source = sources.SOURCES[name]
            wanted = (sources.HERE / f"torch-{source.lock}.in").read_text()
            options = ("--only-binary", ":all:", "--no-deps", *source.options)
            yield Request(sources.lock(name, python), python, wanted, options)
