"""Models in a zip: looked into without unpacking, and unpacked so that nothing gets outside the folder.

A zip is untrusted: its names may lead anywhere, its sizes may explode, its members may be links.
"""

import shutil
import stat
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from host.sources.parts import external_names, in_saved_model
from host.sources.recognition.checkpoints import refuse_weights_alone
from host.sources.recognition.entries import DAMAGE, Entry, refuse_bomb
from host.sources.source import Source
from shared.chips import ONNX, formats
from shared.faults import Fault

MAX_MEMBERS = 20_000
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 1


@contextmanager
def opened(path: Path) -> Iterator[list[Entry]]:
    """The files in a zip, while it is open, sorted.

    Raises:
        Fault: model-invalid for a damaged zip, too many members, or a name that leads outside.
    """
    with _archive(path) as archive:
        members = _members(archive, path)
        yield [
            Entry(name, info.file_size, partial(_open, archive, info, path), info.compress_size)
            for name, info in sorted(members.items())
        ]


def unpack(source: Source, folder: Path) -> Source:
    """The same model with its files on disk: those of an archive are written below `folder`, no others.

    Raises:
        Fault: model-invalid for a damaged, hostile or exploding archive, model-data-missing for ONNX without
            its external data, model-format for a checkpoint of weights alone, disk-full.
    """
    if source.archive is None:
        return source
    with _archive(source.archive) as archive:
        members = _members(archive, source.archive)
        own = {name: members[name] for path in source.files.values() for name in _below(path, members)}
        _refuse_bomb(own, source.archive)
        _extract(archive, own, source.archive, folder)
        files = {role: folder / path for role, path in source.files.items()}
        data = _external(source, files, members)
        _refuse_bomb({**own, **data}, source.archive)
        _extract(archive, data, source.archive, folder)
    if formats()[source.format].pickle:
        refuse_weights_alone(files["model"])
    return Source(source.format, files)


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(path)
    except DAMAGE as error:
        raise Fault("model-invalid", f"{path} is a damaged zip: {error}.") from error
    with archive:
        yield archive


def _members(archive: zipfile.ZipFile, path: Path) -> dict[Path, zipfile.ZipInfo]:
    """The members that are files, all of their names known to be harmless."""
    found: dict[Path, zipfile.ZipInfo] = {}
    infos = archive.infolist()
    if len(infos) > MAX_MEMBERS:
        raise Fault("model-invalid", f"{path} has more than {MAX_MEMBERS} members.", "Zip the model alone.")
    for info in infos:
        why = _hostile(info)
        name = Path(*PurePosixPath(info.filename).parts)
        if why or name in found:
            why = why or "is there twice"
            raise Fault(
                "model-invalid", f"The member {info.filename!r} of {path} {why}.", "Zip the model again."
            )
        if not info.is_dir():
            found[name] = info
    return found


def _hostile(info: zipfile.ZipInfo) -> str:
    """Why a member must not be unpacked; empty where nothing speaks against it."""
    name = PureWindowsPath(info.filename)  # knows drives, and both kinds of slashes
    kind = stat.S_IFMT(info.external_attr >> 16)
    if name.anchor or ".." in name.parts:
        return "leads outside the archive"
    if not name.parts or "\0" in info.orig_filename:
        return "has a name that is none"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device, no file"
    return ""


def _open(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> IO[bytes]:
    if info.flag_bits & _ENCRYPTED:
        raise Fault("model-invalid", f"{path} is encrypted.", "Unpack it, and name the folder.")
    if info.compress_type not in _PACKINGS:
        raise Fault(
            "model-invalid", f"{path} is packed in an unusual way.", "Unpack it, and name the folder."
        )
    return archive.open(info)


def _below(path: Path, members: Mapping[Path, zipfile.ZipInfo]) -> list[Path]:
    """The members that a role stands for: one file, or what belongs to a SavedModel in a folder."""
    if path in members:
        return [path]
    below = (name for name in members if name.is_relative_to(path))
    return [name for name in below if in_saved_model(name.relative_to(path))]


def _external(
    source: Source, files: Mapping[str, Path], members: Mapping[Path, zipfile.ZipInfo]
) -> dict[Path, zipfile.ZipInfo]:
    """The members that hold external data of an ONNX model, which is unpacked. Fault model-data-missing."""
    if source.format != ONNX:
        return {}
    model = source.files["model"]
    names = [model.parent / name for name in external_names(files["model"])]
    missing = [str(name) for name in names if name not in members]
    if missing:
        raise Fault(
            "model-data-missing",
            f"{source.archive} lacks {missing[0]!r}, in which {model} keeps weights.",
            "Put the external data file into the zip, beside the model.",
        )
    return {name: members[name] for name in names if name != model}


def _refuse_bomb(members: Mapping[Path, zipfile.ZipInfo], path: Path) -> None:
    infos = members.values()
    refuse_bomb(sum(info.file_size for info in infos), sum(info.compress_size for info in infos), str(path))


def _extract(
    archive: zipfile.ZipFile, members: Mapping[Path, zipfile.ZipInfo], path: Path, folder: Path
) -> None:
    for name, info in members.items():
        target = folder / name
        try:
            with _open(archive, info, path) as packed:
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("xb") as file:
                    shutil.copyfileobj(packed, file, 1 << 20)
        except OSError as error:
            raise Fault.from_os_error(error, "model-invalid", "unpack", info.filename) from error
        except DAMAGE as error:
            raise Fault("model-invalid", f"{info.filename!r} in {path} is damaged: {error}.") from error
