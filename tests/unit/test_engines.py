"""What both engines build with: commands that can be stopped, and PyTorch from where it can be had."""

import http.client
import shutil
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from host.engines import process, pytorch, recipe
from images.pytorch import sources
from tests.unit.test_harness import members

STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up")
time.sleep(600)
"""
FAMILY = f"""
import os, subprocess, sys, time
print(os.getpgid(0), flush=True)
subprocess.Popen([sys.executable, "-uc", {STUBBORN!r}])
time.sleep(600)
"""


def test_stopped_build_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe, "REPORT_S", 0.05)
    log = tmp_path / "build.log"

    def interrupt(_line: str) -> None:
        if "up" in log.read_text():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        recipe.build([sys.executable, "-c", FAMILY], log, interrupt)
    deadline = time.monotonic() + 30
    while members(int(log.read_text().split()[0])):
        assert time.monotonic() < deadline, "a process of the build is left"
        time.sleep(0.01)


def test_command_that_ignores_requests_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "PATIENCE_S", 0.05)
    log = tmp_path / "log"
    with process.started([sys.executable, "-uc", STUBBORN], log) as started:
        while "up" not in log.read_text():
            time.sleep(0.01)
    assert started.returncode == -9


@pytest.fixture
def offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wheel of PyTorch in a folder that pip knows; the folder of wheels is an empty one."""
    wheel = tmp_path / "links" / "torch-2.13.0+cpu-cp311-cp311-linux_x86_64.whl"
    wheel.parent.mkdir()
    wheel.write_bytes(b"wheel")
    (tmp_path / "wheels").mkdir()
    monkeypatch.setattr(sources, "WHEELS", tmp_path / "wheels")
    monkeypatch.setattr(pytorch, "_find_links", lambda: [wheel.parent])


@pytest.mark.usefixtures("offered")
def test_wheel_is_taken_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_source: Path, target: Path) -> None:
        Path(target).write_bytes(b"whe")
        raise KeyboardInterrupt

    with monkeypatch.context() as changed:
        changed.setattr(shutil, "copyfile", interrupted)
        with pytest.raises(KeyboardInterrupt):
            pytorch._fetch_wheel("3.11")
    assert list(sources.WHEELS.iterdir()) == []
    assert pytorch._fetch_wheel("3.11") and not pytorch._fetch_wheel("3.12")
    assert [path.read_bytes() for path in sources.WHEELS.iterdir()] == [b"wheel"]


@pytest.mark.parametrize("error", [OSError("unreachable"), http.client.BadStatusLine("<html>")])
def test_index_that_does_not_answer_properly_is_out_of_reach(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(urllib.request, "urlopen", answer)
    assert not pytorch._reachable(sources.INDEX)
