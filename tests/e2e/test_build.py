"""`invoke build` where the toolkit is a wheel that only the vendor has: brought, refused, or missing."""

import hashlib
import shutil
from pathlib import Path

import pytest

from images import wheel
from shared import chips
from tests import checkout, double
from tests.conftest import ROOT, Command, command
from tests.e2e.conftest import cause

TOOLKITS = [name for name in chips.toolkits() if wheel.needed(Path("images") / name)]
OTHERS = [name for name in chips.toolkits() if name not in TOOLKITS]
LOCAL = ("--engine", "local")
ENGINES = [
    pytest.param(("--engine", "docker"), marks=pytest.mark.docker, id="docker"),
    pytest.param(LOCAL, id="local"),
]


@pytest.fixture(params=TOOLKITS)
def toolkit(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def copy(toolkit: str, tmp_path: Path) -> Path:
    """A checkout without the wheel that its lock names, which lies in `tmp_path`."""
    brought = double.build_wheel(tmp_path)
    made = checkout.copy(tmp_path / "checkout", toolkit, brought)
    (made / "images" / toolkit / "wheels" / brought.name).unlink()
    return made


@pytest.fixture
def run(copy: Path, tmp_path: Path, command_environment: dict[str, str]) -> Command:
    return command(tmp_path, {**command_environment, "RKFORGE_CACHE_DIR": str(tmp_path / "cache")}, root=copy)


@pytest.mark.parametrize("engine", ENGINES)
def test_missing_wheel_is_said_before_anything_is_built(
    run: Command, toolkit: str, tmp_path: Path, engine: tuple[str, ...]
) -> None:
    told = cause(run("build", "--toolkit", toolkit, *engine), 5, "wheel-missing")
    for word in (
        checkout.NOWHERE,
        f"images/{toolkit}/wheels",
        f"invoke build --toolkit {toolkit}",
        "--wheel",
    ):
        assert word in told
    assert not list(tmp_path.glob("cache/*/*.log"))


def test_wrong_wheel_is_refused_and_not_kept(run: Command, copy: Path, toolkit: str, tmp_path: Path) -> None:
    mine = tmp_path / "mine.whl"
    (whole,) = tmp_path.glob("*double*.whl")
    mine.write_bytes(whole.read_bytes() + b" ")
    told = cause(run("build", "--toolkit", toolkit, "--wheel", "mine.whl", *LOCAL), 5, "wheel-invalid")
    for content in (mine.read_bytes(), whole.read_bytes()):
        assert hashlib.md5(content).hexdigest() in told
    assert not list((copy / "images" / toolkit / "wheels").glob("*.whl"))


def test_folder_of_wheels_that_cannot_be_written(run: Command, copy: Path, toolkit: str) -> None:
    wheels = copy / "images" / toolkit / "wheels"
    shutil.rmtree(wheels)
    wheels.touch()
    ended = run("build", "--toolkit", toolkit, *LOCAL)
    assert f"cannot write to {wheels}" in cause(ended, 2, "file-access")
    assert "place the wheel there" in ended.stderr and "fetching" not in ended.stderr


def test_wheel_is_kept_and_a_missing_compiler_is_said(
    run: Command, copy: Path, toolkit: str, tmp_path: Path
) -> None:
    (whole,) = tmp_path.glob("*double*.whl")
    mine = whole.rename(tmp_path / "mine.whl")
    ended = run("build", "--toolkit", toolkit, "--wheel", "mine.whl", *LOCAL, PATH="/nonexistent")
    assert "C source only, and there is no gcc or cc" in cause(ended, 4, "compiler-missing")
    kept = copy / "images" / toolkit / "wheels" / whole.name
    assert kept.read_bytes() == mine.read_bytes()


@pytest.mark.parametrize("other", OTHERS)
def test_wheel_for_a_toolkit_that_wants_none(rkforge: Command, other: str) -> None:
    told = cause(rkforge("build", "--toolkit", other, "--wheel", "mine.whl", *LOCAL), 2, "bad-option")
    assert told.startswith(f"--wheel: {other} comes from a package index")


def test_source_of_pytorch_where_there_is_no_choice(rkforge: Command, toolkit: str) -> None:
    arguments = ("build", "--toolkit", toolkit, "--torch-source", "pypi")
    assert "--torch-source" in cause(rkforge(*arguments, *LOCAL), 2, "bad-option")


@pytest.mark.parametrize("name", chips.toolkits())
def test_missing_python_is_said_with_those_that_would_do(
    name: str, tmp_path: Path, command_environment: dict[str, str]
) -> None:
    wanted = chips.pythons(chips.toolkit(name))
    root = (
        checkout.copy(tmp_path / "checkout", name, double.build_wheel(tmp_path)) if name in TOOLKITS else ROOT
    )
    run = command(tmp_path, {**command_environment, "RKFORGE_CACHE_DIR": str(tmp_path / "cache")}, root=root)
    (tmp_path / "gcc").symlink_to("/bin/true")  # is looked for, and not yet used
    told = cause(
        run(
            *("build", "--toolkit", name, "--python", wanted[-1], *LOCAL),
            PATH=str(tmp_path),
            PYENV_ROOT=str(tmp_path),
            UV_PYTHON_INSTALL_DIR=str(tmp_path / "pythons"),
            UV_PYTHON_DOWNLOADS="never",
        ),
        4,
        "python-missing",
    )
    assert f"no Python {wanted[-1]}" in told
    assert f"Install Python {' or '.join(wanted)}, or use --engine docker." in told
