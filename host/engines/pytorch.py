"""Where an environment's PyTorch comes from, for the toolkits that leave a choice."""

import http.client
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from host.engines import recipe
from host.plan import Environment
from images.installer import NO_TORCH
from images.pytorch import sources
from shared.faults import Fault

INDEX_WAIT_S = 3
VARIABLE = "RKFORGE_TORCH_SOURCE"


def source(environment: Environment, asked: str = "") -> str:
    """The source of PyTorch as asked, by variable, or the first within reach; empty where there is no choice.

    A wheel in a folder needs no network and so is preferred; it is put where the build finds it.
    PyTorch's CPU index comes next, the CUDA build from PyPI (thinned) last.
    """
    able = recipe.of(environment.toolkit).sources(environment.python, environment.variant)
    if not able and asked:
        message = f"--torch-source: {environment.toolkit} has PyTorch in its lock"
        raise Fault("bad-option", message, "Leave it out.")
    if not able or able == [NO_TORCH]:
        return "".join(able)
    asked = asked or os.environ.get(VARIABLE, "")
    if asked and asked not in able:
        raise Fault(
            "bad-option",
            f"PyTorch source {asked} has no lock for Python {environment.python}",
            f"Choose from {', '.join(able)}.",
        )
    if asked != "wheels" and asked:
        return asked
    if "wheels" in able and _fetch_wheel(environment.python):
        return "wheels"
    if asked:
        raise Fault("bad-option", f"no PyTorch wheel for Python {environment.python} in {sources.WHEELS}")
    if "cpu-index" in able and _reachable(sources.INDEX):
        return "cpu-index"
    return "pypi"


def _fetch_wheel(python: str) -> bool:
    """Whether a PyTorch wheel for this Python lies in the wheels folder, or could be put there."""
    pattern = f"torch-*cp{python.replace('.', '')}*.whl"
    if any(sources.WHEELS.glob(pattern)):
        return True
    for folder in _find_links():
        for wheel in folder.glob(pattern):
            with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=sources.WHEELS) as scratch:
                unfinished = Path(scratch) / wheel.name
                shutil.copyfile(wheel, unfinished)
                unfinished.replace(sources.WHEELS / wheel.name)
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
    except (OSError, http.client.HTTPException):  # a captive portal may speak no HTTP
        return False
