"""What a legacy environment is made of; images/installer.py makes it.

`python -m images.legacy.install --help` from the repository's root tells how to do so by hand.
"""

import sys
from pathlib import Path
from typing import List

from images import installer
from images.installer import Part, Recipe

HERE = Path(__file__).resolve().parent

# README.md tells how it was seen that neither an import nor a conversion's steps miss these.
THIN = (
    "matplotlib/tests",
    "mpl_toolkits/tests",
    "sklearn/**/tests",
    "caffe2",
    "tensorboard_plugin_wit",
    "torch/lib/libcaffe2_detectron_ops_gpu.so",
    "torch/lib/libnvrtc*",
)


def toolkit_lock(version: str, python: str, variant: str = "full") -> Path:
    """The lock that pins everything but the vendor's wheel and what packages are built with."""
    return installer.lock(HERE, version, python, "" if variant == "full" else "-" + variant)


def parts(version: str, python: str, variant: str, _torch_source: str) -> List[Part]:
    """First what builds packages, then all of them."""
    return [
        Part(installer.lock(HERE, "build", python)),
        Part(toolkit_lock(version, python, variant), ("--no-build-isolation",)),
    ]


RECIPE = Recipe(folder=HERE, parts=parts, thin={"full": THIN, "tensorflow": THIN}, compiles=True)

if __name__ == "__main__":
    sys.exit(installer.main(RECIPE))
