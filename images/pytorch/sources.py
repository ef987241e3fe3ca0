"""Where PyTorch comes from, for the environments that have it in a lock of its own, and what of it stays.

PyPI has PyTorch for CUDA only, gigabytes that no conversion uses. So the CPU build is taken where it can be
had, and every environment that wants PyTorch takes the same.
"""

from pathlib import Path
from typing import List, NamedTuple, Tuple

from images import installer
from images.installer import Part

HERE = Path(__file__).resolve().parent
WHEELS = HERE / "wheels"
INDEX = "https://download.pytorch.org/whl/cpu"


class TorchSource(NamedTuple):
    """Where PyTorch comes from: the stem of its lock and the options that make uv look there."""

    lock: str
    options: Tuple[str, ...] = ()


# In the order of preference. A source serves a Python if the lock `torch-<lock>-py<XY>.lock` exists.
SOURCES = {
    "cpu-index": TorchSource("cpu", ("--default-index", INDEX)),
    "wheels": TorchSource("cpu", ("--no-index", "--find-links", str(WHEELS))),
    "pypi": TorchSource("pypi"),
}
# README.md tells how it was seen that these are not missed.
THIN = (
    "torch/lib/libtorch_cuda_linalg.so",
    "nvidia/*/include",
    "nvidia/cudnn/lib/libcudnn_*",
)


def names(python: str) -> List[str]:
    """The SOURCES with a lock for this Python ("3.11"), preferred first."""
    return [name for name in SOURCES if lock(name, python).is_file()]


def lock(source: str, python: str) -> Path:
    """The lock that pins PyTorch from this source for this Python."""
    return installer.lock(HERE, "torch-" + SOURCES[source].lock, python)


def part(source: str, python: str) -> Part:
    """The step of an installation that brings PyTorch."""
    return Part(lock(source, python), SOURCES[source].options)
