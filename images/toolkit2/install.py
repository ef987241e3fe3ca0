"""What a toolkit2 environment is made of; images/installer.py makes it.

`python -m images.toolkit2.install --help` from the repository's root tells how to do so by hand.
"""

import shutil
import sys
from pathlib import Path
from typing import List, NamedTuple, Tuple

from images import installer
from images.installer import NO_TORCH, Part, Recipe

HERE = Path(__file__).resolve().parent
LOCKS = HERE / "locks"
WHEELS = HERE / "wheels"
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"


class TorchSource(NamedTuple):
    """Where PyTorch comes from: the stem of its lock and the options that make uv look there."""

    lock: str
    options: Tuple[str, ...] = ()


# In the order of preference. A source serves a Python if the lock `torch-<lock>-py<XY>.lock` exists.
TORCH_SOURCES = {
    "cpu-index": TorchSource("cpu", ("--default-index", TORCH_INDEX)),
    "wheels": TorchSource("cpu", ("--no-index", "--find-links", str(WHEELS))),
    "pypi": TorchSource("pypi"),
}

# README.md tells how it was seen that neither a conversion nor the simulator loads these.
THIN = (
    "cv2/data/*.xml",
    "numpy/**/tests",
    "onnx/backend/test",
    "onnx/test",
    "onnxruntime/capi/libonnxruntime.so*",  # for C++ programs: the Python module has its own copy inside
    "onnxruntime/quantization",
    "onnxruntime/tools",
    "onnxruntime/transformers",
    "scipy/**/tests",
    "setuptools/tests",
    "torch/bin/*[!r]",  # all but torch_shm_manager, which torch looks for at import
    "torch/include",
    "torch/lib/libtorch_cuda_linalg.so",
    "torch/test",
    "nvidia/*/include",
    "nvidia/cudnn/lib/libcudnn_*",
)
# TensorFlow and TFLite models need TensorFlow; the slim variant is for ONNX only.
THIN_SLIM = ("rknn/base/convertor/tensorflow2onnx",)


def torch_sources(python: str, variant: str) -> List[str]:
    """The TORCH_SOURCES with a lock for this Python ("3.11"), preferred first; for slim NO_TORCH alone."""
    if variant != "full":
        return [NO_TORCH]
    return [name for name in TORCH_SOURCES if torch_lock(name, python).is_file()]


def torch_lock(source: str, python: str) -> Path:
    """The lock that pins PyTorch from this source for this Python."""
    return LOCKS / ("torch-%s-py%s.lock" % (TORCH_SOURCES[source].lock, python.replace(".", "")))


def toolkit_lock(version: str, python: str) -> Path:
    """The lock that pins everything but PyTorch."""
    return LOCKS / ("%s-py%s.lock" % (version, python.replace(".", "")))


def parts(version: str, python: str, variant: str, torch_source: str) -> List[Part]:
    """The toolkit with its requirements, then PyTorch."""
    toolkit = Part(toolkit_lock(version, python))
    if variant != "full":
        return [toolkit]
    return [toolkit, Part(torch_lock(torch_source, python), TORCH_SOURCES[torch_source].options)]


def put_stand_in(site: Path, variant: str) -> None:
    """Give the slim variant what it has in place of PyTorch."""
    if variant == "slim":
        shutil.copy(str(HERE / "slim" / "torch.py"), str(site))


RECIPE = Recipe(
    folder=HERE,
    parts=parts,
    thin={"full": THIN, "slim": THIN + THIN_SLIM},
    sources=torch_sources,
    torch_index=TORCH_INDEX,
    finish=put_stand_in,
)

if __name__ == "__main__":
    sys.exit(installer.main(RECIPE))
