"""A small environment for the double: what it and the driver import, pinned as in images/legacy.

PyTorch, TensorFlow and MXNet, which the double asks for but does not use, are empty modules in it; MXNet's
must be imported first. The images with the real ones are tested end to end.
"""

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import uv

from tests.conftest import ROOT, require_python
from tests.double import build_wheel

PACKAGES = ("numpy", "onnx", "protobuf", "ruamel.yaml")
FRAMEWORKS = ("torch", "tensorflow")
STAND_IN = '"""Stands in for the package of this name."""\n'
MXNET = (
    STAND_IN
    + "import sys\nassert 'rknn' not in sys.modules, 'crashes after TensorFlow, which comes with rknn'\n"
)


def make(folder: Path, version: str, frameworks: Sequence[str] = FRAMEWORKS) -> str:
    """Make a virtual environment in `folder` for that Python; the path of its interpreter."""
    venv = folder / "venv"
    _uv("venv", "--quiet", "--python", require_python(version), str(venv))
    interpreter = str(venv / "bin" / "python")
    wanted = (ROOT / "images" / "legacy" / "requirements.in").read_text(encoding="utf-8")
    pins = dict(re.findall(r"^([\w.]+)==([\d.]+)", wanted, re.MULTILINE))
    _uv("pip", "install", "--quiet", "--python", interpreter, *(f"{name}=={pins[name]}" for name in PACKAGES))
    _uv("pip", "install", "--quiet", "--python", interpreter, "--no-deps", str(build_wheel(folder)))
    (site,) = venv.glob("lib/python*/site-packages")
    for name, text in {**dict.fromkeys(frameworks, STAND_IN), "mxnet": MXNET}.items():
        (site / f"{name}.py").write_text(text)
    return interpreter


def _uv(*arguments: str) -> None:
    subprocess.run([uv.find_uv_bin(), *arguments], check=True)
