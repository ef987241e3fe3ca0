"""Every environment of the table has its locks, and the stand-in for PyTorch tells what was asked of it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from images.toolkit2 import install
from shared import chips

TOOLKIT = chips.toolkit("toolkit2")


@pytest.mark.parametrize("python", TOOLKIT.pythons)
@pytest.mark.parametrize("version", TOOLKIT.versions)
@pytest.mark.parametrize("variant", TOOLKIT.variants)
def test_every_environment_is_locked(version: str, python: str, variant: str) -> None:
    sources = install.torch_sources(python, "full")
    assert "pypi" in sources  # what serves everyone
    for source in sources:
        chosen = install.locks(version, python, variant, source)
        pins = "".join(lock.read_text() for lock in chosen)
        assert f"rknn-toolkit2=={version} " in pins
        assert ("torch==" in pins) == (variant == "full")
        assert re.search(r"^setuptools==(\d+)", pins, re.MULTILINE)[1] < "82"  # type: ignore[index]
        for pin in re.split(r"\n(?=\S)", pins.strip()):
            assert "--hash=sha256:" in pin


def test_a_missing_lock_is_named(tmp_path: Path) -> None:
    command = [sys.executable, install.__file__, str(tmp_path / "venv"), "--python", sys.executable]
    done = subprocess.run([*command, "--version", "9.9.9"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "there is no lock" in done.stderr
    assert "9.9.9-py" in done.stderr
    assert "Traceback" not in done.stderr


def test_thin_removes_what_matches_and_nothing_else(tmp_path: Path) -> None:
    kept = ["torch/bin/torch_shm_manager", "torch/__init__.py", "numpy/testing/__init__.py"]
    removed = ["torch/bin/protoc", "torch/test/a.h", "numpy/linalg/tests/test_a.py", "cv2/data/face.xml"]
    for name in kept + removed:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    install.thin(tmp_path, install.THIN)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*")) == sorted(
        name for name in kept if "." in name
    )
    assert (tmp_path / kept[0]).is_file()


def touched(code: str) -> list[str]:
    """What the stand-in recorded after `code` ran with it as torch."""
    tried = f"with contextlib.suppress(Exception):\n    {code}"
    script = f"import contextlib, torch\n{tried}\nprint(torch.rkforge_touched())"
    done = subprocess.run(
        [sys.executable, "-S", "-c", script],
        env={"PYTHONPATH": str(install.HERE / "slim")},
        capture_output=True,
        text=True,
        check=True,
    )
    return re.findall(r"'([^']+)'", done.stdout)


@pytest.mark.parametrize(
    "code",
    [
        "class Layer(torch.nn.Module): pass",
        "torch.no_grad()(print)",
        "isinstance(3, torch.Tensor)",
        "hasattr(torch, '__wrapped__')",
    ],
)
def test_what_the_toolkits_import_does_is_no_touch(code: str) -> None:
    assert touched(code) == []


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("torch.arange(3)", "torch.arange"),
        ("torch.nn.Conv2d", "torch.nn.Conv2d"),
        ("torch.nn.Module()", "torch.Module()"),
        ("torch.Tensor([1])", "torch.Tensor()"),
        ("torch.__version__", "torch.__version__"),
        ("import torch.jit", "torch.jit"),
        ("import torch.nn.functional", "torch.nn.functional"),
        ("from torch import jit", "torch.jit"),
    ],
)
def test_every_other_use_is_recorded(code: str, name: str) -> None:
    assert name in touched(code)
