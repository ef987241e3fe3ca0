"""Every file that a model consists of: those with a role, external data, and what lies in a SavedModel."""

import mmap
from pathlib import Path, PurePath

from host.sources.source import Source
from shared.chips import ONNX

# protobuf bytes of a StringStringEntryProto with the key "location": every tensor stored outside has one
_EXTERNAL_MARKER = b"\n\x08location\x12"

# what TensorFlow writes; other exports often lie in the same folder
SAVED_MODEL = "saved_model.pb"
_SAVED_MODEL_FILES = (SAVED_MODEL, "keras_metadata.pb", "fingerprint.pb")
_SAVED_MODEL_FOLDERS = ("variables", "assets", "assets.extra")


def in_saved_model(path: PurePath) -> bool:
    """Whether a file belongs to the SavedModel in the folder that its path is relative to."""
    return path.name == str(path) in _SAVED_MODEL_FILES or path.parts[0] in _SAVED_MODEL_FOLDERS


def external_names(model: Path) -> tuple[str, ...]:
    """Where an ONNX file says that its external data lies, relative to it.

    Raises:
        Fault: model-invalid for a damaged model, or a place outside the model's folder.
    """
    if not _mentions_external(model):
        return ()
    from host.sources.onnx.external import locations
    from host.sources.onnx.model import parse

    return locations(parse(model))


def files_of(source: Source) -> dict[str, Path]:
    """Every file of a model by a name that does not tell where it lies, in a fixed order; or its archive.

    Raises:
        Fault: model-invalid or model-data-missing where an ONNX model's external data cannot be read.
    """
    if source.archive is not None:
        return {"archive": source.archive}
    if "folder" in source.files:
        folder = source.files["folder"]
        found = (path for path in sorted(folder.rglob("*")) if path.is_file())
        inside = ((path.relative_to(folder), path) for path in found)
        return {name.as_posix(): path for name, path in inside if in_saved_model(name)}
    model = source.files.get("model")
    if source.format == ONNX and model is not None and _mentions_external(model):
        from host.sources.onnx.external import external_files
        from host.sources.onnx.model import parse

        data = external_files(parse(model), model.parent)
        return {"model": model, **{path.relative_to(model.parent).as_posix(): path for path in data}}
    return dict(source.files)


def _mentions_external(model: Path) -> bool:
    """Whether a file has to be parsed for its external data, which imports onnx."""
    with model.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(_EXTERNAL_MARKER) >= 0
