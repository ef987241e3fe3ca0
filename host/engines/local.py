"""The engine without Docker: a virtual environment from the same lock, a child process group per run."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock
import uv

from host import paths
from host.engines import process, pytorch, recipe
from host.engines.protocol import Limits, Running, Say
from host.plan import Environment
from shared import chips
from shared.faults import Fault

COMPILERS = ("gcc", "cc")
USED = "environment.txt"
"""In a run's folder, the name of the virtual environment that it uses."""


class LocalEngine:
    """Runs the harness in a virtual environment under the user's cache. Linux only."""

    name = "local"
    isolated = False

    def default_python(self, pythons: Sequence[str]) -> str:
        """The first that this machine has."""
        return next(filter(find_python, pythons), pythons[0])

    def ready(self, environment: Environment) -> bool:
        """Whether the virtual environment is complete: its manifest is written last."""
        return (_venv(environment) / "rkforge.json").is_file()

    def build(self, environment: Environment, say: Say, torch_source: str = "") -> None:
        """Make the virtual environment, about a minute; other runs that need it wait for this one.

        Where the machine lacks that Python, uv fetches one.
        """
        venv = _venv(environment)
        venv.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(venv.with_name(venv.name + ".lock")):
            if self.ready(environment):
                return
            _compiler(environment)
            source = pytorch.source(environment, torch_source)
            recipe.vendor_wheel(environment, say)
            origin = f" (PyTorch from {source})" if source else ""
            log = venv.with_name(venv.name + ".log")
            say(f"installing {environment.toolkit} {environment.tag}{origin}; log: {log}")
            python = find_python(environment.python)
            command = [sys.executable, "-m", f"images.{environment.toolkit}.install", str(venv)]
            command += ["--python", python or environment.python, "--version", environment.version]
            command += ["--variant", environment.variant, "--torch-source", source]
            if recipe.build(command, log, say):
                return
            shutil.rmtree(venv, ignore_errors=True)
            message, tail = f"could not install {environment.tag}", recipe.tail(log)
            if python:
                raise Fault("environment-build", message, log=str(log), log_tail=tail)
            pythons = " or ".join(chips.pythons(chips.kit(environment.toolkit), environment.variant))
            hint = f"Install Python {pythons}, or use --engine docker."
            raise Fault("python-missing", f"{message}: no Python {environment.python}", hint, str(log), tail)

    def provenance(self, environment: Environment) -> dict[str, Any]:
        """What install.py wrote down: interpreter, torch source, lock hashes, packages."""
        manifest: dict[str, Any] = json.loads(
            (_venv(environment) / "rkforge.json").read_text(encoding="utf-8")
        )
        return {"engine": self.name, **manifest}

    @contextmanager
    def start(
        self, environment: Environment, batch: Path, names: Sequence[str], limits: Limits
    ) -> Iterator[Running]:
        """Run the jobs as a process group of their own, which never outlives this context.

        Neither do temporary files, which toolkits leave. Their folder has a short name: sockets lie in it.
        """
        command = [str(interpreter(environment)), "-m", environment.toolkit]
        command += ["--jobs", str(limits.jobs), *(str(batch / name) for name in names)]
        (batch / USED).write_text(_venv(environment).name, encoding="utf-8")
        words = batch / "harness.txt"
        with (
            tempfile.TemporaryDirectory(prefix="rkforge-", ignore_cleanup_errors=True) as scratch,
            process.started(command, words, {**os.environ, "TMPDIR": scratch}) as harness,
        ):
            yield _Process(harness, words)


class _Process:
    def __init__(self, process: "subprocess.Popen[bytes]", words: Path) -> None:
        self._process = process
        self._words = words

    def alive(self) -> bool:
        return self._process.poll() is None

    def failure(self) -> Fault | None:
        status = self._process.returncode
        if not status:
            return None
        if status == -signal.SIGKILL:
            return Fault("out-of-memory", "the system killed the run, most likely because memory ran out")
        tail = self._words.read_text(encoding="utf-8", errors="replace").splitlines()[-5:]
        return Fault("internal", f"the harness ended with status {status}", log_tail=tail)


def find_python(version: str) -> str | None:
    """The path of an interpreter of that version ("3.11") on this machine, this one first, or None."""
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    # pyenv's shims of the versions that are not switched on fail, and uv stops at the first that does
    places = [*_pyenv(version), os.environ.get("PATH", os.defpath)]
    done = subprocess.run(
        [uv.find_uv_bin(), "python", "find", "--no-python-downloads", "--system", version],
        env={**os.environ, "PATH": os.pathsep.join(places)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() if done.returncode == 0 else None


def _pyenv(version: str) -> list[str]:
    """The bin folders of that version's interpreters in pyenv, if it is there."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    return [str(path) for path in root.glob(f"versions/{version}.*/bin")]


def _compiler(environment: Environment) -> None:
    """Fault compiler-missing where packages are built from source and nothing can."""
    if recipe.of(environment.toolkit).compiles and not any(map(shutil.which, COMPILERS)):
        raise Fault(
            "compiler-missing",
            f"some packages of {environment.toolkit} {environment.tag} exist as C source only, "
            f"and there is no {' or '.join(COMPILERS)}",
        )


def folder() -> Path:
    """Where the virtual environments lie."""
    return paths.cache() / "environments"


def used(batches: Iterable[Path]) -> set[str]:
    """The names of the virtual environments that the runs in these folders use."""
    return {note.read_text(encoding="utf-8") for batch in batches for note in batch.glob(USED)}


def interpreter(environment: Environment) -> Path:
    """The Python of a built environment."""
    return _venv(environment) / "bin" / "python"


def _venv(environment: Environment) -> Path:
    digest = recipe.locks_digest(environment)[:12]
    return folder() / re.sub(r"[^\w.-]", "-", f"{environment.toolkit}-{environment.tag}-{digest}")
