"""Files that may be parts of a model, on disk or in a zip: of each only the ends are read."""

import io
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from shared.faults import Fault

HEAD = 16 << 10
"""Bytes that tell a format."""
_DIRECTORY = 4 << 20
"""Bytes at the end of a zip in which its directory is looked for."""
_MOST_FILES = 20_000
_DEEPEST = 4
_HIDDEN = (".", "__")
_IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".npy", ".gif", ".tif", ".tiff", ".mp4", ".avi")

MAX_BYTES = 16 << 30
MAX_RATIO = 100
"""Weights hardly shrink; what shrinks more than this is a bomb, unless it is small."""
FREE_BYTES = 64 << 20
"""Up to this size the ratio does not matter."""

DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, RuntimeError, ValueError)
"""What reading a zip raises where it is damaged, encrypted or packed in a way that nobody reads. OSError: it
seeks to negative places."""


@dataclass(frozen=True)
class Entry:
    """A file: on disk, or a member of a zip."""

    path: Path
    """Where it is; in a zip the member's path."""
    size: int
    open: Callable[[], IO[bytes]]
    packed: int | None = None
    """Its size in the zip; None on disk."""

    def head(self) -> bytes:
        """Its first bytes. Raises Fault model-invalid for damaged members."""
        return self._read(0, HEAD)

    def tail(self, length: int) -> bytes:
        """Its last bytes. Raises Fault model-invalid for damaged members and bombs."""
        if self.packed is not None:
            refuse_bomb(self.size, self.packed, str(self.path))
        return self._read(max(0, self.size - length), length)

    def members(self) -> tuple[str, ...] | None:
        """The names inside, where it is a zip; None where it is none or a damaged one."""
        try:
            if self.packed is None:
                with zipfile.ZipFile(self.path) as archive:
                    return tuple(archive.namelist())
            return tuple(zipfile.ZipFile(io.BytesIO(self.tail(_DIRECTORY))).namelist())
        except DAMAGE:
            return None

    def _read(self, offset: int, length: int) -> bytes:
        try:
            with self.open() as file:
                file.seek(offset)
                return file.read(length)
        except DAMAGE as error:
            if self.packed is None:
                raise
            raise Fault("model-invalid", f"{self.path} cannot be unpacked: {error}.") from error


def refuse_bomb(size: int, packed: int, name: str) -> None:
    """Refuse what would unpack to too much: `size` bytes from `packed`; no more than that is ever unpacked.

    Raises:
        Fault: model-invalid.
    """
    if size > MAX_BYTES or (size > FREE_BYTES and size > MAX_RATIO * packed):
        raise Fault(
            "model-invalid",
            f"{name} would unpack to {size >> 20} MB from {packed >> 20} MB: no model shrinks like that.",
            "Unpack it yourself if you trust it, and name the folder.",
        )


def on_disk(path: Path) -> Entry:
    """A file on disk."""
    return Entry(path, path.stat().st_size, lambda: path.open("rb"))


def in_folder(folder: Path, deepest: int = _DEEPEST) -> list[Entry]:
    """The files of a folder and those some levels below, images and hidden files aside, sorted.

    Raises:
        Fault: model-invalid for a folder with too many files to look into.
    """
    found: list[Entry] = []
    for path in _files(folder, deepest):
        if len(found) == _MOST_FILES:
            raise Fault(
                "model-invalid", f"{folder} has more than {_MOST_FILES} files.", "Name the model's own files."
            )
        found.append(on_disk(path))
    return sorted(found, key=lambda entry: entry.path)


def worth_a_look(name: str) -> bool:
    """Whether a file of that name may belong to a model."""
    return not name.startswith(_HIDDEN) and not name.lower().endswith(_IMAGES)


def _files(folder: Path, deepest: int) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        depth = len(Path(place).relative_to(folder).parts)
        folders[:] = [name for name in folders if depth < deepest and worth_a_look(name)]
        yield from (path for name in names if worth_a_look(name) and (path := Path(place, name)).is_file())
