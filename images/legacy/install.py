"""What a legacy environment is made of; images/installer.py makes it.

`python -m images.legacy.install --help` from the repository's root tells how to do so by hand.
"""

import sys
from pathlib import Path
from typing import List

from images import installer
from images.installer import Part, Recipe

HERE = Path(__file__).resolve().parent
LOCKS = HERE / "locks"

# README.md tells how it was seen that neither an import nor a conversion's steps miss these.
THIN = (
    "cv2/data/*.xml",
    "matplotlib/tests",
    "mpl_toolkits/tests",
    "numpy/**/tests",
    "onnx/backend/test",
    "onnx/test",
    "onnxruntime/quantization",
    "onnxruntime/tools",
    "onnxruntime/transformers",
    "scipy/**/tests",
    "sklearn/**/tests",
    "caffe2",
    "tensorboard_plugin_wit",
    "tensorflow/include",
    "torch/bin/*[!r]",  # all but torch_shm_manager, which torch looks for at import
    "torch/include",
    "torch/lib/libcaffe2_detectron_ops_gpu.so",
    "torch/lib/libnvrtc*",
    "torch/test",
)


def toolkit_lock(version: str, python: str, variant: str = "full") -> Path:
    """The lock that pins everything but the vendor's wheel and what packages are built with."""
    suffix = "" if variant == "full" else "-" + variant
    return LOCKS / ("%s-py%s%s.lock" % (version, python.replace(".", ""), suffix))


def build_lock(python: str) -> Path:
    """The lock that pins what some packages are built with: a few exist as source only."""
    return LOCKS / ("build-py%s.lock" % python.replace(".", ""))


def parts(version: str, python: str, variant: str, _torch_source: str) -> List[Part]:
    """First what builds packages, then all of them."""
    return [
        Part(build_lock(python)),
        Part(toolkit_lock(version, python, variant), ("--no-build-isolation",)),
    ]


RECIPE = Recipe(folder=HERE, parts=parts, thin={"full": THIN, "tensorflow": THIN}, compiles=True)

if __name__ == "__main__":
    sys.exit(installer.main(RECIPE))
