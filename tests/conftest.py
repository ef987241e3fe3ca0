"""What all tests share: the command line as a user runs it, the engines, and real models.

Tests marked `docker` are left out, and said to be, where no Docker engine answers; in CI (CI=true) a
missing engine is a failure. Environments are built once and shared through the user's cache; results
and jobs go to a cache of the test session.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from host import paths

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "orientation"
IN_CI = bool(os.environ.get("CI"))
ENGINES = [pytest.param("docker", marks=pytest.mark.docker), pytest.param("local", marks=pytest.mark.toolkit)]


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document of --json."""
        parsed: dict[str, Any] = json.loads(self.stdout)
        return parsed


Command = Callable[..., Ended]


def docker_answers() -> bool:
    from host.engines.docker import DockerEngine
    from shared.faults import Fault

    try:
        DockerEngine()
    except Fault:
        return False
    return True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    wanted = [item for item in items if item.get_closest_marker("docker")]
    if not wanted or IN_CI or docker_answers():
        return
    for item in wanted:
        item.add_marker(pytest.mark.skip(reason="left out: no Docker engine answers here"))


def require_python(version: str) -> str:
    """An interpreter of an old Python ("3.6"); without one the test is left out, or in CI fails."""
    from host.engines.local import find_python

    found = find_python(version)
    if found is None:
        assert not IN_CI, f"no Python {version} here"
        pytest.skip(f"left out: no Python {version} here")
    return found


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache for this session's results; the environments in it are the user's own."""
    environments = paths.cache() / "environments"
    environments.mkdir(parents=True, exist_ok=True)
    cache = tmp_path_factory.mktemp("cache")
    (cache / "environments").symlink_to(environments)
    return cache


@pytest.fixture(scope="session")
def command_environment(session_cache: Path) -> dict[str, str]:
    """The environment of commands: without the settings of whoever runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RKFORGE_")}
    if "RKFORGE_TORCH_SOURCE" in os.environ:
        kept["RKFORGE_TORCH_SOURCE"] = os.environ["RKFORGE_TORCH_SOURCE"]
    return {**kept, "RKFORGE_CACHE_DIR": str(session_cache), "NO_COLOR": "1"}


def command_line(*arguments: str, root: Path = ROOT) -> list[str]:
    """`invoke ...` of the checkout `root` as a command that works from any folder."""
    return [sys.executable, "-m", "invoke", "--search-root", str(root), *arguments]


def command(folder: Path, environment: dict[str, str], root: Path = ROOT) -> Command:
    """Runs `invoke ...` of the checkout `root` in `folder`, as `run("convert", "--chip", "rk3588")`."""

    def run(*arguments: str, **variables: str) -> Ended:
        done = subprocess.run(
            command_line(*arguments, root=root),
            cwd=folder,
            env={**environment, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=1800,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Ended(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def rkforge(tmp_path: Path, command_environment: dict[str, str]) -> Command:
    """Runs `invoke ...` in the test's own folder."""
    return command(tmp_path, command_environment)
