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
TENSORFLOW = "tensorflow"
"""The variant that has it."""

# TensorFlow and TFLite models need TensorFlow, TorchScript needs PyTorch.
THIN_SLIM = ("rknn/base/convertor/tensorflow2onnx",)
THIN_TENSORFLOW = ("tensorflow/xla_aot_runtime_src",)


def torch_sources(python: str, variant: str) -> List[str]:
    """The sources of PyTorch for this Python ("3.11"), preferred first; for slim NO_TORCH alone."""
    return [NO_TORCH] if variant == "slim" else sources.names(python)


def parts(version: str, python: str, variant: str, torch_source: str) -> List[Part]:
    """The toolkit with its requirements, then PyTorch, then TensorFlow."""
    made = [Part(installer.lock(HERE, version, python))]
    if variant != "slim":
        made.append(sources.part(torch_source, python))
    if variant == TENSORFLOW:
        made.append(Part(installer.lock(HERE, TENSORFLOW, python)))
    return made


def put_stand_in(site: Path, variant: str) -> None:
    """Give the slim variant what it has in place of PyTorch."""
    if variant == "slim":
        shutil.copy(str(HERE / "slim" / "torch.py"), str(site))


RECIPE = Recipe(
    folder=HERE,
    parts=parts,
    thin={"full": sources.THIN, TENSORFLOW: sources.THIN + THIN_TENSORFLOW, "slim": THIN_SLIM},
    sources=torch_sources,
    beside=(sources.HERE,),
    finish=put_stand_in,
)

if __name__ == "__main__":
    sys.exit(installer.main(RECIPE))
