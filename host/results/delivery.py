"""Puts a result where the user wants it, whole or not at all, and never at the cost of an earlier one."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock

from host import paths
from host.sources.fingerprint import file_digest
from shared.faults import Fault


@contextmanager
def prepared(folder: Path) -> Iterator[None]:
    """Make sure that files can be written to `folder`; what was made for that goes again if it stays empty.

    Raises:
        Fault: output-invalid or disk-full when they cannot.
    """
    made: list[Path] = []
    try:
        try:
            made = [each for each in (folder, *folder.parents) if not each.exists()]
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise _fault(folder, error) from None
        yield
    finally:
        for each in made:
            with suppress(OSError):  # it has files, or was never made
                each.rmdir()


@contextmanager
def claimed(artifact: Path) -> Iterator[None]:
    """Keep other runs of this user away from `artifact`; Fault output-busy when one is at it already."""
    name = hashlib.sha256(str(artifact.resolve()).encode()).hexdigest()[:32]
    locks = paths.cache() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(locks / f"{name}.lock", timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise Fault("output-busy", f"another run is writing {artifact}") from None
    try:
        yield
    finally:
        lock.release()


def deliver(files: Mapping[Path, Path]) -> None:
    """Copy each source to its target (target -> source): first all beside their targets, then rename.

    Raises:
        Fault: disk-full or output-invalid; the earlier files are as they were then.
    """
    written: dict[Path, Path] = {}
    try:
        for target, source in files.items():
            if target.is_dir():
                raise Fault("output-invalid", f"{target} is a folder")
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
            os.close(handle)
            written[target] = Path(name)
            shutil.copyfile(source, name)
            Path(name).chmod(0o666 & ~_umask())
        for target, beside in written.items():
            beside.replace(target)
    except OSError as error:
        raise _fault(next(iter(files)).parent, error) from None
    finally:
        for beside in written.values():
            beside.unlink(missing_ok=True)


def withdraw(files: Mapping[Path, str]) -> None:
    """Remove files of an earlier result (path -> SHA-256), unless somebody changed them."""
    for path, sha256 in files.items():
        if path.is_file() and file_digest(path).hex() == sha256:
            path.unlink()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _fault(folder: Path, error: OSError) -> Fault:
    return Fault.from_os_error(error, "output-invalid", "write to", str(folder))
