"""What the locks of frameworks hold."""

from collections.abc import Iterator

from images.frameworks import install
from images.installer import lock
from images.pytorch import sources
from images.pytorch.relock import RESOLVED
from images.relock import Request
from shared import chips
from shared.chips import Exporter


def requests(exporter: Exporter) -> Iterator[Request]:
    """A lock per variant, version and Python; and torchvision's, one per source of PyTorch and Python."""
    built = ("--only-binary", ":all:")
    excludes = ("--excludes", str(install.HERE / "excludes.txt"))
    for version in exporter.versions:
        for variant, known in exporter.variants.items():
            wanted = (install.HERE / f"{variant}.in").read_text()
            for python in known.pythons:
                target = lock(install.HERE, version, python, f"-{variant}")
                yield Request(target, python, wanted, (*built, *excludes))
    for python in chips.pythons(exporter):
        for name in RESOLVED:
            wanted = (install.HERE / f"torchvision-{sources.SOURCES[name].lock}.in").read_text()
            target = install.torchvision_lock(name, python)
            yield Request(target, python, wanted, (*built, "--no-deps"))
