"""What both engines build from: the locks, the product code, and a source for PyTorch."""

import hashlib
import importlib
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType

from host import paths
from host.engines.protocol import Say
from host.plan import Environment
from shared.contract import CONTRACT
from shared.faults import Fault
from shared.text import COLOUR

INDEX_WAIT_S = 3
REPORT_S = 15
SOURCE_VARIABLE = "RKFORGE_TORCH_SOURCE"


def install(toolkit: str) -> ModuleType:
    """The module images/<toolkit>/install.py, which knows the locks and how to install them."""
    return importlib.import_module(f"images.{toolkit}.install")


def locks_digest(environment: Environment) -> str:
    """SHA-256 over the toolkit's lock and its variant: what the environment is pinned to."""
    recipe = install(environment.toolkit)
    lock: Path = recipe.toolkit_lock(environment.version, environment.python)
    return hashlib.sha256(lock.read_bytes() + environment.variant.encode()).hexdigest()


def code_digest(environment: Environment) -> str:
    """SHA-256 over all that an environment is built from, locks and product code included."""
    images = paths.ROOT / "images" / environment.toolkit
    folders = (images, paths.ROOT / "shared", paths.ROOT / environment.toolkit)
    kinds = (".py", ".json", ".lock", "")
    files = [
        path for folder in folders for path in folder.rglob("*") if path.is_file() and path.suffix in kinds
    ]
    return _digest(
        path for path in sorted(files) if "__pycache__" not in path.parts and "wheels" not in path.parts
    )


def contract_digest(environment: Environment) -> str:
    """SHA-256 over the contract and the product code that runs in the environment."""
    folders = (paths.ROOT / "shared", paths.ROOT / environment.toolkit)
    files = sorted(path for folder in folders for path in folder.iterdir() if path.suffix in (".py", ".json"))
    return hashlib.sha256(f"{CONTRACT} {_digest(files)}".encode()).hexdigest()


def torch_source(environment: Environment, asked: str = "") -> str:
    """Where PyTorch will come from: as asked, by variable, or the first source within reach.

    A wheel in a folder needs no network and so is preferred; it is put where the build finds it.
    PyTorch's CPU index comes next, the CUDA build from PyPI (thinned) last.
    """
    recipe = install(environment.toolkit)
    able: list[str] = recipe.torch_sources(environment.python, environment.variant)
    if able == [recipe.NO_TORCH]:
        return able[0]
    asked = asked or os.environ.get(SOURCE_VARIABLE, "")
    if asked and asked not in able:
        raise Fault(
            "bad-option",
            f"PyTorch source {asked} has no lock for Python {environment.python}",
            f"Choose from {', '.join(able)}.",
        )
    if asked != "wheels" and asked:
        return asked
    if "wheels" in able and _fetch_wheel(recipe, environment.python):
        return "wheels"
    if asked:
        raise Fault("bad-option", f"no PyTorch wheel for Python {environment.python} in {recipe.WHEELS}")
    if "cpu-index" in able and _reachable(recipe.TORCH_SOURCES["cpu-index"].options[-1]):
        return "cpu-index"
    return "pypi"


def build(command: Sequence[str], log: Path, say: Say, environ: Mapping[str, str] | None = None) -> bool:
    """Run a long command in the checkout with its output in `log`; whether it succeeded.

    Every 15 s one line tells that it goes on and where it is.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen(
            command,
            cwd=paths.ROOT,
            env=environ,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        started = time.monotonic()
        try:
            while True:
                try:
                    return process.wait(REPORT_S) == 0
                except subprocess.TimeoutExpired:
                    say(f"  still at it after {time.monotonic() - started:.0f} s: {_last_line(log)}")
        finally:
            process.terminate()


def tail(log: Path, lines: int = 15) -> list[str]:
    """The last lines of a log."""
    return log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]


def _last_line(log: Path) -> str:
    lines = [COLOUR.sub("", line).strip() for line in tail(log)]
    return next((line for line in reversed(lines) if line), "no output yet")[:100]


def _digest(files: Iterable[Path]) -> str:
    total = hashlib.sha256()
    for path in files:
        total.update(path.relative_to(paths.ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


def _fetch_wheel(recipe: ModuleType, python: str) -> bool:
    """Whether a PyTorch wheel for this Python lies in the wheels folder, or could be put there."""
    pattern = f"torch-*cp{python.replace('.', '')}*.whl"
    wheels: Path = recipe.WHEELS
    if any(wheels.glob(pattern)):
        return True
    for folder in _find_links():
        for wheel in folder.glob(pattern):
            shutil.copy2(wheel, wheels / wheel.name)
            return True
    return False


def _find_links() -> list[Path]:
    """The local folders that pip's configuration names as find-links."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    lines = [line.partition("=") for line in done.stdout.splitlines() if "find-links" in line]
    words = [word for _, _, value in lines for word in value.strip("'\"").split()]
    return [folder for folder in map(Path, words) if folder.is_dir()]


def _reachable(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/torch/", timeout=INDEX_WAIT_S):
            return True
    except OSError:
        return False
