"""What unit tests share."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.double import environment


@pytest.fixture(scope="session")
def legacy_python(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """The interpreter of a small environment with the legacy toolkit's double, for a Python's version."""

    @cache
    def made(version: str) -> str:
        return environment.make(tmp_path_factory.mktemp("double"), version)

    return made


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, an empty one of the test's own, with a cache below it."""
    monkeypatch.setenv("RKFORGE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path
