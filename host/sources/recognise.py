"""What a model file is, by its content: a wrong extension neither stops a good file nor admits a bad one.

Imports no model library: what is not ONNX is told so in milliseconds.
"""

import re
import zipfile
from pathlib import Path

from shared.faults import Fault

# bytes at an offset that belong to one format only
_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (4, b"TFL3", "TensorFlow Lite"),
    (4, b"ORTM", "ONNX Runtime (.ort)"),
    (0, b"\x89HDF\r\n\x1a\n", "Keras HDF5"),
    (0, b"RKNN", "Rockchip .rknn"),
    (0, b"GGUF", "GGUF"),
    (0, b"7767517\n", "ncnn"),
    (0, b"\x1f\x8b", "gzip archive"),
    (0, b"\x80\x02", "PyTorch checkpoint (pickle)"),
    (0, b"\x80\x04", "Python pickle"),
    (8, b'{"', "safetensors"),
)

# text that a model path often holds by mistake; a regular expression on the first kilobyte
_TEXT: tuple[tuple[bytes, str, str], ...] = (
    (rb"^version https://git-lfs", "a Git LFS pointer", "Fetch the model itself with `git lfs pull`."),
    (rb"(?i)^\s*<(!doctype html|html)", "an HTML page", "Download the model again: the server sent a page."),
    (rb"^\s*<\?xml", "an XML file", ""),
    (rb"^\s*[{\[]\s*[\"{]", "a JSON file", ""),
)

_TEXT_MODELS: tuple[tuple[bytes, str], ...] = (
    (rb"(?m)^\s*\[(net|network)\]", "Darknet"),
    (rb"(?m)^\s*(layers?|input_param)\s*\{", "Caffe"),
)

# formats whose bytes carry no magic: only the name tells, once the content is known not to be ONNX
_EXTENSIONS = {
    ".caffemodel": "Caffe",
    ".prototxt": "Caffe",
    ".cfg": "Darknet",
    ".weights": "Darknet",
    ".tflite": "TensorFlow Lite",
    ".pb": "TensorFlow",
    ".h5": "Keras HDF5",
    ".keras": "Keras",
    ".pt": "PyTorch",
    ".pth": "PyTorch",
    ".torchscript": "TorchScript",
    ".mlmodel": "Core ML",
    ".engine": "TensorRT",
    ".safetensors": "safetensors",
}

_LATER = ("TensorFlow", "Keras", "PyTorch", "TorchScript", "Caffe", "Darknet")


def require_file(path: Path) -> None:
    """Refuse a path that holds no bytes to read.

    Raises:
        Fault: model-missing, model-invalid (a folder, an empty file) or model-format (a SavedModel folder).
    """
    if path.is_dir():
        if (path / "saved_model.pb").exists():
            raise _other_format(path, "TensorFlow SavedModel")
        raise Fault("model-invalid", f"{path} is a folder.", "Name the model file in it.")
    if not path.is_file():
        raise Fault("model-missing", f"There is no model file {path}.")
    if path.stat().st_size == 0:
        raise Fault("model-invalid", f"{path} is empty.")


def refuse_other_formats(path: Path) -> None:
    """Refuse a file whose first bytes show that it is something other than ONNX.

    Raises:
        Fault: model-format for another model format, model-invalid for a page, a pointer or other text.
    """
    with path.open("rb") as file:
        head = file.read(1024)
    for offset, magic, name in _MAGIC:
        if head[offset : offset + len(magic)] == magic:
            raise _other_format(path, name)
    if head.startswith(b"PK\x03\x04"):
        raise _other_format(path, _zip_format(path))
    for pattern, what, hint in _TEXT:
        if re.search(pattern, head):
            raise Fault("model-invalid", f"{path} is {what}, not a model.", hint)
    for pattern, name in _TEXT_MODELS:
        if re.search(pattern, head):
            raise _other_format(path, name)


def not_onnx(path: Path, cause: str) -> Fault:
    """The fault for content that is no ONNX: by its extension another format, else a damaged file."""
    suffix = path.with_suffix("").suffix if path.suffix == ".txt" else path.suffix
    name = _EXTENSIONS.get(suffix.lower())
    if name:
        return _other_format(path, name)
    return Fault("model-invalid", f"{path} does not read as an ONNX model: {cause}.")


def _zip_format(path: Path) -> str:
    try:
        names = zipfile.ZipFile(path).namelist()
    except (zipfile.BadZipFile, OSError):
        return "damaged zip archive"
    inner = {name.rsplit("/", 1)[-1] for name in names}
    if "constants.pkl" in inner:
        return "TorchScript"
    if "data.pkl" in inner:
        return "PyTorch checkpoint"
    return "Keras" if "model.weights.h5" in inner else "zip archive"


def _other_format(path: Path, name: str) -> Fault:
    if name.startswith(_LATER):
        return Fault(
            "model-format",
            f"{path} is a {name} file; this version reads ONNX only.",
            f"Export the model to ONNX; {name} files come in a later version.",
        )
    return Fault("model-format", f"{path} is a {name} file, not ONNX.")
