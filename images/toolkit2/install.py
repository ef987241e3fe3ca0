"""What a toolkit2 environment is made of; images/installer.py makes it.

`python -m images.toolkit2.install --help` from the repository's root tells how to do so by hand.
"""

import shutil
import sys
from pathlib import Path
from typing import List

from images import installer
from images.installer import NO_TORCH, Part, Recipe
from images.pytorch import sources

HERE = Path(__file__).resolve().parent
LOCKS = HERE / "locks"
TENSORFLOW = "tensorflow"
"""The variant that has it."""

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
    *sources.THIN,
)
# TensorFlow and TFLite models need TensorFlow, TorchScript needs PyTorch.
THIN_SLIM = ("rknn/base/convertor/tensorflow2onnx",)
THIN_TENSORFLOW = ("tensorflow/include", "tensorflow/xla_aot_runtime_src")


def torch_sources(python: str, variant: str) -> List[str]:
    """The sources of PyTorch for this Python ("3.11"), preferred first; for slim NO_TORCH alone."""
    return [NO_TORCH] if variant == "slim" else sources.names(python)


def toolkit_lock(version: str, python: str) -> Path:
    """The lock that pins everything but PyTorch."""
    return LOCKS / ("%s-py%s.lock" % (version, python.replace(".", "")))


def tensorflow_lock(python: str) -> Path:
    """The lock that pins TensorFlow and what it needs beside the toolkit's own packages."""
    return LOCKS / ("tensorflow-py%s.lock" % python.replace(".", ""))


def parts(version: str, python: str, variant: str, torch_source: str) -> List[Part]:
    """The toolkit with its requirements, then PyTorch, then TensorFlow."""
    made = [Part(toolkit_lock(version, python))]
    if variant != "slim":
        made.append(sources.part(torch_source, python))
    if variant == TENSORFLOW:
        made.append(Part(tensorflow_lock(python)))
    return made


def put_stand_in(site: Path, variant: str) -> None:
    """Give the slim variant what it has in place of PyTorch."""
    if variant == "slim":
        shutil.copy(str(HERE / "slim" / "torch.py"), str(site))


RECIPE = Recipe(
    folder=HERE,
    parts=parts,
    thin={"full": THIN, TENSORFLOW: THIN + THIN_TENSORFLOW, "slim": THIN + THIN_SLIM},
    sources=torch_sources,
    beside=(sources.HERE,),
    finish=put_stand_in,
)

if __name__ == "__main__":
    sys.exit(installer.main(RECIPE))
