"""Write the locks again from the .in files: `python -m images.relock [--upgrade]`, with uv installed.

Pins that still fit stay as they are, unless --upgrade is given. A lock that cannot be made (an index may be
out of reach) stays as it was, and uv says why. images/<toolkit>/relock.py says what a toolkit's locks hold,
images/pytorch/relock.py what PyTorch's.
"""

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from shared import chips

HERE = Path(__file__).resolve().parent
UV = (sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate")
TARGET = ("--python-platform", "x86_64-manylinux_2_28", "--generate-hashes")


class Request(NamedTuple):
    """A lock that shall be made."""

    lock: Path
    python: str
    """The Python that it is for."""
    requirements: str
    """The text of a .in file."""
    options: tuple[str, ...] = ()
    """What uv is told beside."""


def make(request: Request, *options: str) -> bool:
    """Resolve the requirements into the lock; False if that fails."""
    command = [*UV, *TARGET, "--python-version", request.python, *request.options, *options]
    command += ["--output-file", str(request.lock), "-"]
    done = subprocess.run(
        command, input=request.requirements, text=True, stdout=subprocess.DEVNULL, check=False
    )
    return done.returncode == 0


def main(options: list[str]) -> int:
    """Write every lock that can be made; 1 if one could not."""
    made = [make(Request(HERE / "installer.lock", "3.10", "uv"), *options)]
    requests = [*_folder("pytorch").requests()]
    for kit in chips.kits().values():
        requests += _folder(kit.name).requests(kit)
    made += [make(request, *options) for request in requests]
    return 0 if all(made) else 1


def _folder(name: str) -> Any:
    return importlib.import_module(f"images.{name}.relock")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
