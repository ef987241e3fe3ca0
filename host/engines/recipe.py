"""What both engines build from: the locks, the product code, and the vendor's wheel."""

import hashlib
import importlib
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from host import paths
from host.engines import process
from host.engines.protocol import Say
from host.plan import Environment
from images import wheel
from images.installer import Recipe, Unusable
from shared.contract import CONTRACT
from shared.faults import Fault
from shared.text import COLOUR

REPORT_S = 15


def of(toolkit: str) -> Recipe:
    """What images/<toolkit>/install.py says an environment is made of."""
    recipe: Recipe = importlib.import_module(f"images.{toolkit}.install").RECIPE
    return recipe


def locks_digest(environment: Environment) -> str:
    """SHA-256 over the variant and all locks that an environment may be made from: what it is pinned to."""
    recipe = of(environment.toolkit)
    locks = recipe.locks(environment.version, environment.python, environment.variant)
    wheels = recipe.folder / wheel.LOCK
    found = [lock.read_bytes() for lock in (*locks, wheels) if lock.is_file()]
    return hashlib.sha256(b"\0".join(found) + environment.variant.encode()).hexdigest()


def code_digest(environment: Environment) -> str:
    """SHA-256 over all that an environment is built from, locks and product code included."""
    made = of(environment.toolkit)
    folders = (made.folder, *made.beside, paths.ROOT / "shared", paths.ROOT / environment.toolkit)
    found = [*(paths.ROOT / "images").glob("*"), *(path for folder in folders for path in folder.rglob("*"))]
    kinds = (".py", ".json", ".lock", "")
    return _digest(
        path
        for path in sorted(found)
        if path.is_file() and path.suffix in kinds and not {"__pycache__", "wheels"} & {*path.parts}
    )


def contract_digest(environment: Environment) -> str:
    """SHA-256 over the contract and the product code that runs in the environment."""
    folders = (paths.ROOT / "shared", paths.ROOT / environment.toolkit)
    files = sorted(path for folder in folders for path in folder.iterdir() if path.suffix in (".py", ".json"))
    return hashlib.sha256(f"{CONTRACT} {_digest(files)}".encode()).hexdigest()


def vendor_wheel(environment: Environment, say: Say, brought: Path | None = None) -> None:
    """See to the wheel of a toolkit that no package index has, before anything slow is begun.

    Args:
        environment: of which toolkit, version and Python.
        say: told when the wheel is fetched.
        brought: a wheel that the user has, to be kept for this and later builds.

    Raises:
        Fault: wheel-missing, wheel-invalid, disk-full or file-access; bad-option when no wheel is wanted.
    """
    folder = of(environment.toolkit).folder
    if not wheel.needed(folder):
        if brought:
            message = f"--wheel: {environment.toolkit} comes from a package index"
            raise Fault("bad-option", message, "Leave it out.")
        return
    try:
        if brought:
            wheel.adopt(folder, environment.version, environment.python, brought)
        wheel.ensure(folder, environment.version, environment.python, say)
    except Unusable as error:
        raise Fault(error.code, error.message, error.hint) from None
    except OSError as error:
        if brought and error.filename == str(brought):
            raise Fault.from_os_error(error, "file-access") from None
        hint, path = "Make it writable, or place the wheel there.", str(of(environment.toolkit).wheels)
        raise Fault.from_os_error(error, "file-access", "write to", path, hint) from None


def build(command: Sequence[str], log: Path, say: Say, environ: Mapping[str, str] | None = None) -> bool:
    """Run a long command in the checkout with its output in `log`; whether it succeeded.

    Every 15 s one line tells that it goes on and where it is.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    with process.started(command, log, environ) as running:
        while True:
            try:
                return running.wait(REPORT_S) == 0
            except subprocess.TimeoutExpired:
                say(f"  still at it after {time.monotonic() - begun:.0f} s: {_last_line(log)}")


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
