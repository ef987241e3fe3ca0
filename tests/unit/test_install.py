"""Every environment can be made from locks, and the stand-in for PyTorch tells what was asked of it."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from host import paths
from host.engines import pytorch, recipe
from host.plan import Environment
from host.steps import facts
from images import installer, wheel
from images.toolkit2 import install as toolkit2
from shared import chips
from shared.faults import Fault

ENVIRONMENTS = [
    Environment(kit.name, version, python, variant)
    for kit in chips.kits().values()
    for version in kit.versions
    for variant in kit.variants
    for python in chips.pythons(kit, variant)
]
IDS = [environment.image for environment in ENVIRONMENTS]
ARCHIVE = re.compile(r"https://\S+\.tar\.gz")


def pins(locks: list[Path]) -> dict[str, str]:
    """Package -> version of these locks, all of them known to be pinned by hashes."""
    found: dict[str, str] = {}
    for lock in locks:
        for pin in re.split(r"\n(?=\S)", lock.read_text().strip()):
            assert "--hash=sha256:" in pin, f"{lock}: {pin}"
            name, version = pin.split()[0].split("==")
            assert found.setdefault(name, version) == version, f"{lock}: two versions of {name}"
    return found


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=IDS)
def test_every_environment_is_locked(environment: Environment) -> None:
    of = recipe.of(environment.toolkit)
    for source in of.sources(environment.python, environment.variant) or [""]:
        parts = of.parts(environment.version, environment.python, environment.variant, source)
        pinned = pins([part.lock for part in parts])
        assert int(pinned["setuptools"].split(".")[0]) < 82
        formats = chips.kit(environment.toolkit).variants[environment.variant].formats
        without = source == installer.NO_TORCH if source else "torchscript" not in formats
        assert ("torch" in pinned) != without
        if "tensorflow" in formats:
            assert any(re.match("tensorflow(-cpu)?$", name) for name in pinned)
        if environment.toolkit in chips.toolkits() and not wheel.needed(of.folder):
            assert pinned[chips.toolkit(environment.toolkit).package] == environment.version


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=IDS)
def test_vendors_wheel_is_locked_where_there_is_one(environment: Environment) -> None:
    folder = recipe.of(environment.toolkit).folder
    if not wheel.needed(folder):
        return
    entry = json.loads((folder / wheel.LOCK).read_text())[environment.version]
    named = entry["wheels"][environment.python]
    assert ARCHIVE.fullmatch(entry["archive"]) and environment.version in entry["archive"]
    assert f"-{environment.version}-cp{environment.python.replace('.', '')}-" in named["file"]
    for checksum in (entry["md5"], named["md5"]):
        assert re.fullmatch("[0-9a-f]{32}", checksum)


def test_everyone_can_have_pytorch() -> None:
    for environment in ENVIRONMENTS:
        sources = recipe.of(environment.toolkit).sources(environment.python, environment.variant)
        assert sources in ([], [installer.NO_TORCH]) or "pypi" in sources


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=IDS)
def test_digest_is_that_of_the_locks(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another lock, vendor's wheel or variant is another environment, and another image."""
    of = recipe.of(environment.toolkit)
    locks = recipe.locks_digest(environment)
    for variant, known in chips.kit(environment.toolkit).variants.items():
        if variant != environment.variant and environment.python in known.pythons:
            assert recipe.locks_digest(replace(environment, variant=variant)) != locks
    pinned = of.locks(environment.version, environment.python, environment.variant)
    pinned += [of.folder / wheel.LOCK] if wheel.needed(of.folder) else []
    for lock in pinned:
        for digest in (recipe.locks_digest, recipe.code_digest):
            assert counts(lock, partial(digest, environment), monkeypatch), lock


def counts(path: Path, digest: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether a digest changes with a file."""
    before, read = digest(), Path.read_bytes
    with monkeypatch.context() as changed:
        changed.setattr(Path, "read_bytes", lambda each: read(each) + b"#" * (each == path))
        return digest() != before


@pytest.mark.parametrize("toolkit", chips.kits())
def test_code_that_runs_in_an_environment_counts(toolkit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = next(each for each in ENVIRONMENTS if each.toolkit == toolkit)
    for name in ("shared/toolkits.json", "shared/harness.py", f"{toolkit}/__main__.py"):
        for digest in (recipe.contract_digest, recipe.code_digest):
            assert counts(paths.ROOT / name, partial(digest, environment), monkeypatch), name


@pytest.mark.parametrize(
    ("name", "decides"),
    [
        ("running.py", True),
        ("steps/judgement.py", True),
        ("sources/onnx/lowering.py", True),
        ("graph/passes/outputs_4d.py", True),
        ("commands/convert.py", False),
        ("engines/docker.py", False),
        ("console.py", False),
    ],
)
def test_host_code_that_decides_a_result_counts(
    name: str, decides: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert counts(paths.ROOT / "host" / name, facts.code_digest, monkeypatch) == decides


@pytest.mark.parametrize("toolkit", chips.kits())
def test_a_missing_lock_is_named(toolkit: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", f"images.{toolkit}.install", str(tmp_path / "venv")]
    command += ["--python", sys.executable, "--version", "9.9.9", "--torch-source", "pypi"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "there is no lock" in done.stderr
    assert "9.9.9-py" in done.stderr or "build-py" in done.stderr
    assert "Traceback" not in done.stderr


def test_thin_removes_what_matches_and_nothing_else(tmp_path: Path) -> None:
    kept = ["torch/bin/torch_shm_manager", "torch/__init__.py", "numpy/testing/__init__.py"]
    removed = ["torch/bin/protoc", "torch/test/a.h", "numpy/linalg/tests/test_a.py", "cv2/data/face.xml"]
    for name in kept + removed:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    installer.thin(tmp_path, installer.THIN)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*")) == sorted(
        name for name in kept if "." in name
    )
    assert (tmp_path / kept[0]).is_file()


def test_environment_is_finished_thinned_and_described(tmp_path: Path) -> None:
    def finish(site: Path, variant: str) -> None:
        for name in (variant, "kept", "cv2/data/face.xml"):
            (site / name).parent.mkdir(parents=True, exist_ok=True)
            (site / name).touch()

    thin = {"small": ("small",), "large": ()}
    made = installer.Recipe(folder=tmp_path / "gadget", parts=lambda *_: [], thin=thin, finish=finish)
    installer.install(made, tmp_path / "venv", sys.executable, "1.0", "small")
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    assert [(site / name).exists() for name in ("kept", "small", "cv2/data/face.xml")] == [True, False, False]
    manifest = json.loads((tmp_path / "venv" / installer.MANIFEST).read_text())
    assert (manifest["toolkit"], manifest["version"], manifest["variant"]) == ("gadget", "1.0", "small")


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=IDS)
def test_source_of_pytorch_is_refused_where_there_is_none_to_choose(environment: Environment) -> None:
    if recipe.of(environment.toolkit).sources(environment.python, environment.variant):
        return
    assert pytorch.source(environment) == ""
    with pytest.raises(Fault, match="--torch-source") as refused:
        pytorch.source(environment, "pypi")
    assert refused.value.code == "bad-option"


@pytest.mark.parametrize(
    ("asked", "variable", "wheel", "index", "chosen"),
    [
        ("", "", True, True, "wheels"),  # needs no network
        ("", "", False, True, "cpu-index"),
        ("", "", False, False, "pypi"),
        ("pypi", "cpu-index", True, True, "pypi"),
        ("", "cpu-index", True, False, "cpu-index"),
        ("wheels", "", True, False, "wheels"),
        ("wheels", "", False, True, "no PyTorch wheel"),
        ("nowhere", "", True, True, "has no lock"),
    ],
)
def test_pytorch_comes_from_where_it_was_asked_or_the_nearest(
    asked: str, variable: str, wheel: bool, index: bool, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(pytorch.VARIABLE, variable)
    monkeypatch.setattr(pytorch, "_fetch_wheel", lambda _: wheel)
    monkeypatch.setattr(pytorch, "_reachable", lambda _: index)
    environment = Environment("toolkit2", "2.5.0", "3.11", "full")
    if " " not in chosen:
        assert pytorch.source(environment, asked) == chosen
        return
    with pytest.raises(Fault, match=chosen) as refused:
        pytorch.source(environment, asked)
    assert refused.value.code == "bad-option"


def test_python_without_a_lock_for_the_cpu_build_has_pypis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pytorch, "_fetch_wheel", lambda _: True)
    monkeypatch.setattr(pytorch, "_reachable", lambda _: True)
    assert pytorch.source(Environment("toolkit2", "2.5.0", "3.10", "full")) == "pypi"


def touched(code: str) -> list[str]:
    """What the stand-in recorded after `code` ran with it as torch."""
    tried = f"with contextlib.suppress(Exception):\n    {code}"
    script = f"import contextlib, torch\n{tried}\nprint(torch.rkforge_touched())"
    done = subprocess.run(
        [sys.executable, "-S", "-c", script],
        env={"PYTHONPATH": str(toolkit2.HERE / "slim")},
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
