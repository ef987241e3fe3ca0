"""What the environments of frameworks are made of; images/installer.py makes them.

`python -m images.frameworks.install --help` from the repository's root tells how to do so by hand.
"""

import sys
from pathlib import Path
from typing import List

from images import installer
from images.installer import NO_TORCH, Part, Recipe
from images.pytorch import sources

HERE = Path(__file__).resolve().parent

# torchvision's own operators are for CUDA and do not load without it; its networks are plain PyTorch
THIN_TORCHVISION = ("torchvision.libs", "torchvision/*.so")


def torch_sources(python: str, variant: str) -> List[str]:
    """The sources of PyTorch for this Python ("3.11"), preferred first; for TensorFlow NO_TORCH alone."""
    return sources.names(python) if variant == "pytorch" else [NO_TORCH]


def torchvision_lock(source: str, python: str) -> Path:
    """The lock that pins the torchvision that goes with PyTorch from this source."""
    return installer.lock(HERE, "torchvision-" + sources.SOURCES[source].lock, python)


def parts(version: str, python: str, variant: str, torch_source: str) -> List[Part]:
    """The packages of the framework, then PyTorch where it is the framework."""
    found = [Part(installer.lock(HERE, version, python, "-" + variant))]
    if variant == "pytorch":
        found += [sources.part(torch_source, python), Part(torchvision_lock(torch_source, python))]
    return found


RECIPE = Recipe(
    folder=HERE,
    parts=parts,
    thin={"pytorch": sources.THIN + THIN_TORCHVISION, "tensorflow": ()},
    sources=torch_sources,
    beside=(sources.HERE,),
)

if __name__ == "__main__":
    sys.exit(installer.main(RECIPE))
