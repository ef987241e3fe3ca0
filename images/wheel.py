"""The vendor's wheel of a toolkit that no package index has: found or fetched, and always verified.

images/<toolkit>/wheels.lock names, per version, the vendor's archive and the wheels in it, with the checksums
that the vendor publishes (MD5). A wheel lies in wheels/ because a user brought it (`adopt`), or because it
was fetched once. Python 3.6, standard library only: this runs on the host and in the images' builder.
"""

import argparse
import hashlib
import http.client
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO, Callable, Dict, NamedTuple, Optional

from images import installer
from images.installer import Unusable

LOCK = "wheels.lock"
BLOCK = 1 << 20
WAIT_S = 15


class Wanted(NamedTuple):
    """The one wheel that an environment can be made with."""

    folder: Path
    """images/<toolkit>"""
    version: str
    python: str
    file: str
    md5: str
    archive: str
    """URL of the .tar.gz that has it."""
    archive_md5: str
    others: Dict[str, str]
    """MD5 of the same version's other wheels -> the Python that each is for."""

    @property
    def path(self) -> Path:
        """Where it lies, or will."""
        return self.folder / "wheels" / self.file

    @property
    def command(self) -> str:
        """How a user hands it over."""
        return self.command_for(self.python)

    def command_for(self, python: str) -> str:
        """How a user hands over the wheel for that Python."""
        return "invoke build --toolkit %s --python %s --wheel PATH" % (self.folder.name, python)


def needed(folder: Path) -> bool:
    """Whether the toolkit of images/<toolkit> comes as a wheel of the vendor."""
    return (folder / LOCK).is_file()


def missing(folder: Path, version: str, python: str) -> Optional[Wanted]:
    """The vendor's wheel for this version and Python, if one is needed and not there."""
    wanted = _wanted(folder, version, python) if needed(folder) else None
    return wanted if wanted and not wanted.path.is_file() else None


def ensure(folder: Path, version: str, python: str, say: Callable[[str], None] = print) -> Path:
    """The verified wheel for this version and Python, fetched from the vendor's archive if it is not there.

    Raises:
        Unusable: wheel-missing or wheel-invalid.
        OSError: the disk is full, or wheels/ cannot be written.
    """
    wanted = _wanted(folder, version, python)
    if not wanted.path.is_file():
        _fetch(wanted, say)
    _verify(wanted.path, wanted)
    return wanted.path


def adopt(folder: Path, version: str, python: str, path: Path) -> Path:
    """Copy a wheel that the user has, alone or in the vendor's archive, into wheels/; raises as `ensure`."""
    wanted = _wanted(folder, version, python)
    with path.open("rb") as stream:
        in_archive = _digest(stream, hashlib.md5()) == wanted.archive_md5
    if not in_archive:
        _verify(path, wanted)
    with _scratch(wanted) as scratch:
        loose = Path(scratch) / wanted.file
        if in_archive:
            _unpack(path, loose, wanted)
        else:
            with path.open("rb") as stream, loose.open("wb") as copy:
                shutil.copyfileobj(stream, copy, BLOCK)
        loose.replace(wanted.path)
    return wanted.path


def described(path: Path) -> Dict[str, str]:
    """The file's name and SHA-256, for the manifest."""
    with path.open("rb") as stream:
        return {"file": path.name, "sha256": _digest(stream, hashlib.sha256())}


def _wanted(folder: Path, version: str, python: str) -> Wanted:
    lock: Dict[str, Any] = json.loads((folder / LOCK).read_text(encoding="utf-8"))
    entry = lock.get(version, {"wheels": {}})
    if python not in entry["wheels"]:
        message = "%s names no wheel of version %s for Python %s" % (folder / LOCK, version, python)
        raise Unusable("version-unsupported", message, "Choose another --toolkit-version or --python.")
    wheel = entry["wheels"][python]
    others = {each["md5"]: name for name, each in entry["wheels"].items() if each != wheel}
    return Wanted(
        folder, version, python, wheel["file"], wheel["md5"], entry["archive"], entry["md5"], others
    )


def _verify(path: Path, wanted: Wanted) -> None:
    wrong = _wrong(path, wanted)
    if wrong:
        raise Unusable(
            "wheel-invalid",
            "%s is not the vendor's %s (MD5 %s): %s" % (path, wanted.file, wanted.md5, wrong),
            "Put that one into images/%s/wheels, or run, with it or the archive %s (MD5 %s) as PATH: %s"
            % (wanted.folder.name, wanted.archive, wanted.archive_md5, wanted.command),
        )


def _wrong(path: Path, wanted: Wanted) -> str:
    """What tells this file from the vendor's wheel; empty when nothing does."""
    with path.open("rb") as stream:
        whole = zipfile.is_zipfile(stream)
        stream.seek(0)
        found = _digest(stream, hashlib.md5())
    if found in wanted.others:
        python = wanted.others[found]
        return "it is the one for Python %s, which %s takes" % (python, wanted.command_for(python))
    if not whole:
        return "its %d bytes are neither a whole wheel nor the vendor's archive" % path.stat().st_size
    return "" if found == wanted.md5 else "its MD5 is %s" % found


def _fetch(wanted: Wanted, say: Callable[[str], None]) -> None:
    """Put the wheel from the vendor's archive into wheels/, or nothing."""
    with _scratch(wanted) as scratch:
        say("fetching %s from %s" % (wanted.file, wanted.archive))
        archive = Path(scratch) / "archive"
        with archive.open("wb") as stream:
            _download(wanted, stream)
        with archive.open("rb") as stream:
            found = _digest(stream, hashlib.md5())
        if found != wanted.archive_md5:
            reason = "its MD5 is %s, expected %s" % (found, wanted.archive_md5)
            raise _missing("wheel-invalid", wanted, reason)
        loose = Path(scratch) / wanted.file
        _unpack(archive, loose, wanted)
        loose.replace(wanted.path)


def _download(wanted: Wanted, stream: BinaryIO) -> None:
    try:
        answer = urllib.request.urlopen(wanted.archive, timeout=WAIT_S)
    except urllib.error.HTTPError as error:
        raise _missing("wheel-missing", wanted, error) from None
    except (OSError, http.client.HTTPException) as error:
        raise _missing("wheel-missing", wanted, getattr(error, "reason", error)) from None
    with answer:
        while True:
            try:
                block = answer.read(BLOCK)
            except (OSError, http.client.HTTPException) as error:
                raise _missing("wheel-missing", wanted, error) from None
            if not block:
                return
            stream.write(block)


def _unpack(archive: Path, loose: Path, wanted: Wanted) -> None:
    """Write the wheel in the vendor's archive to `loose`, and verify it."""
    try:
        _extract(archive, loose)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise _missing("wheel-invalid", wanted, str(error).splitlines()[0].rstrip(":")) from None
    wrong = _wrong(loose, wanted)
    if wrong:
        raise _missing("wheel-invalid", wanted, "of the wheel in it, " + wrong)


def _extract(archive: Path, target: Path) -> None:
    """Write the archive's file of the target's name, in whatever folder, to `target` and nowhere else."""
    with tarfile.open(str(archive)) as members:
        for member in members:
            content = members.extractfile(member) if member.isfile() else None
            if content is not None and os.path.basename(member.name) == target.name:
                with content, target.open("wb") as stream:
                    shutil.copyfileobj(content, stream, BLOCK)
                return
    raise tarfile.TarError("it has no such file")


def _missing(code: str, wanted: Wanted, reason: Any) -> Unusable:
    return Unusable(
        code,
        "the vendor's %s (MD5 %s) is not in images/%s/wheels, and %s cannot be used: %s"
        % (wanted.file, wanted.md5, wanted.folder.name, wanted.archive, reason),
        "Get the archive, or the wheel in it, where it can be had, and run: %s" % wanted.command,
    )


def _scratch(wanted: Wanted) -> "tempfile.TemporaryDirectory[str]":
    """A folder for unfinished files, on the disk of wheels/; .dockerignore knows its name."""
    wanted.path.parent.mkdir(exist_ok=True)
    return tempfile.TemporaryDirectory(prefix=".unfinished-", dir=str(wanted.path.parent))


def _digest(stream: BinaryIO, total: Any) -> str:
    for block in iter(lambda: stream.read(BLOCK), b""):
        total.update(block)
    return str(total.hexdigest())


def main() -> int:
    """`python -m images.wheel FOLDER TARGET ...`: install the wheel alone into the folder TARGET."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="images/<toolkit>")
    parser.add_argument("target", type=Path)
    parser.add_argument("--interpreter", type=Path, required=True, help="of the environment it is for")
    parser.add_argument("--version", required=True)
    options = parser.parse_args()
    python = "%d.%d" % sys.version_info[:2]
    try:
        path = ensure(options.folder, options.version, python)
        installer.pip_install(options.interpreter, "--target", str(options.target), str(path))
        installer.compile_all(options.interpreter, options.target)
        (options.target / installer.MANIFEST).write_text(json.dumps(described(path)) + "\n")
    except subprocess.CalledProcessError as error:
        return error.returncode
    except (Unusable, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
