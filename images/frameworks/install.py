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
LOCKS = HERE / "locks"

# README.md tells how it was seen that no export loads these.
THIN = (
    "cv2/data/*.xml",
    "numpy/**/tests",
    "onnx/backend/test",
    "onnx/test",
    "onnxruntime/capi/libonnxruntime.so*",  # for C++ programs: the Python module has its own copy inside
    "onnxruntime/quantization",
    "onnxruntime/tools",
    "onnxruntime/transformers",
    "setuptools/tests",
)
THIN_PYTORCH = (
    *THIN,
    *sources.THIN,
    # torchvision's own operators are for CUDA and do not load without it; its networks are plain PyTorch
    "torchvision.libs",
    "torchvision/*.so",
)
THIN_TENSORFLOW = (*THIN, "tensorflow/include")


def torch_sources(python: str, variant: str) -> List[str]:
    """The sources of PyTorch for this Python ("3.11"), preferred first; for TensorFlow NO_TORCH alone."""
    return sources.names(python) if variant == "pytorch" else [NO_TORCH]


def lock(version: str, python: str, variant: str) -> Path:
    """The lock that pins everything but PyTorch and torchvision."""
    return LOCKS / ("%s-py%s-%s.lock" % (version, python.replace(".", ""), variant))


def torchvision_lock(source: str, python: str) -> Path:
    """The lock that pins the torchvision that goes with PyTorch from this source."""
    return LOCKS / ("torchvision-%s-py%s.lock" % (sources.SOURCES[source].lock, python.replace(".", "")))


def parts(version: str, python: str, variant: str, torch_source: str) -> List[Part]:
    """The packages of the framework, then PyTorch where it is the framework."""
    found = [Part(lock(version, python, variant))]
    if variant == "pytorch":
        found += [sources.part(torch_source, python), Part(torchvision_lock(torch_source, python))]
    return found


RECIPE = Recipe(
    folder=HERE,
    parts=parts,
    thin={"pytorch": THIN_PYTORCH, "tensorflow": THIN_TENSORFLOW},
    sources=torch_sources,
    beside=(sources.HERE,),
)

if __name__ == "__main__":
    sys.exit(installer.main(RECIPE))
