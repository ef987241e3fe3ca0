"""From what a user names to one model: a file, several files, a folder or a zip.

Imports no model library and unpacks nothing: an answer takes milliseconds.
"""

from collections.abc import Sequence
from pathlib import Path

from host.sources.parts import SAVED_MODEL, in_saved_model
from host.sources.recognition import archives
from host.sources.recognition.checkpoints import refuse_weights_alone
from host.sources.recognition.contents import Content, Part, identify, is_archive, refusal, require_file
from host.sources.recognition.entries import Entry, in_folder, on_disk, worth_a_look
from host.sources.recognition.grouping import ROLES, Found, is_main, model
from host.sources.source import Source
from shared.chips import ONNX, formats
from shared.faults import Fault


def recognise(paths: Sequence[Path]) -> Source:
    """The model that the paths stand for, with the companions that lie beside them.

    Args:
        paths: files of one model, a folder or a zip that holds one, or the prefix of a TensorFlow checkpoint.

    Raises:
        Fault: model-missing, model-invalid, model-format, model-data-missing (a companion), bad-option where
            they hold several models.
    """
    paths = list(dict.fromkeys(map(_whole_name, paths)))
    for path in paths:
        if not path.is_dir():
            require_file(path)
    if len(paths) != 1:
        source = _files(paths)
    elif paths[0].is_dir():
        source = _folder(paths[0])
    else:
        source = _file(paths[0])
    if formats()[source.format].pickle and source.archive is None:
        refuse_weights_alone(source.files["model"])
    return source


def _whole_name(path: Path) -> Path:
    """The index of a TensorFlow checkpoint that is called by the prefix of its files; else the path."""
    index = path.with_name(f"{path.name}.index") if path.name else path
    return index if not path.exists() and index.is_file() else path


def _file(path: Path) -> Source:
    content = identify(on_disk(path))
    if is_archive(content):
        return _archive(path)
    if not isinstance(content, Part):
        raise refusal(path, content)
    found = Found(path, content)
    return model([found], _beside(found), path.parent)


def _files(paths: Sequence[Path]) -> Source:
    """The model of which several files were named; what nothing tells of may be an ONNX model's data."""
    contents: dict[Path, Content | None] = {}
    for path in paths:
        if path.is_dir():
            raise Fault("bad-option", f"{path} is a folder, named with other paths.", "Name it alone.")
        contents[path] = identify(on_disk(path))
    parts = _parts(contents)
    homes = [found.path.parent for found in parts if found.part.format == ONNX]
    for path, content in contents.items():
        if content is None and any(path.is_relative_to(home) for home in homes):
            continue
        if not isinstance(content, Part):
            raise refusal(path, content)
    if not parts:
        raise Fault("model-missing", "No model is named.", "Name it with --model.")
    pool = dict.fromkeys(each for found in parts for each in _beside(found))
    return model(parts, [*pool], paths[0].parent)


def _folder(folder: Path) -> Source:
    if (folder / SAVED_MODEL).is_file():
        return _file(folder / SAVED_MODEL)
    return _among(in_folder(folder), folder)


def _archive(path: Path) -> Source:
    with archives.opened(path) as entries:
        source = _among([entry for entry in entries if all(map(worth_a_look, entry.path.parts))], path)
    return Source(source.format, source.files, path)


def _among(entries: Sequence[Entry], place: Path) -> Source:
    """The one model that a folder or an archive holds."""
    contents = {entry.path: identify(entry) for entry in entries if entry.size}
    parts = _parts(contents)
    homes = [found.path.parent for found in parts if found.part.role == "folder"]
    parts = [found for found in parts if found.part.role == "folder" or not _inside(found.path, homes)]
    if not parts:
        known = [(path, content) for path, content in contents.items() if content is not None]
        if len(known) == 1:
            raise refusal(*known[0])
        raise Fault("model-missing", f"There is no model in {place}.", "Name the model's own files.")
    return model([found for found in parts if is_main(found.part)] or parts[:1], parts, place)


def _parts(contents: dict[Path, Content | None]) -> list[Found]:
    return [Found(path, content) for path, content in contents.items() if isinstance(content, Part)]


def _inside(path: Path, homes: Sequence[Path]) -> bool:
    """Whether a file belongs to a SavedModel in one of the folders: its variables look like a checkpoint."""
    return any(path.is_relative_to(home) and in_saved_model(path.relative_to(home)) for home in homes)


def _beside(found: Found) -> list[Found]:
    """A file and those in its folder that may be its companions."""
    if found.part.format not in ROLES:
        return [found]
    entries = in_folder(found.path.parent, deepest=0)
    parts = _parts({entry.path: identify(entry) for entry in entries if entry.size})
    return [found, *(each for each in parts if each.path != found.path)]
