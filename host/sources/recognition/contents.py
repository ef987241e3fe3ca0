"""What a file is, by its content: a wrong extension neither stops a good file nor admits a bad one.

Imports no model library and reads the ends of a file only: an answer takes milliseconds.
"""

import re
import struct
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from host.sources.recognition import wire
from host.sources.recognition.entries import Entry, on_disk
from shared import chips
from shared.faults import Fault


class Part(NamedTuple):
    """A file that is a model, or belongs to one."""

    format: str
    """A key of the table's formats."""
    role: str = "model"


class Other(NamedTuple):
    """A file of a known kind that is no part of a model that rkforge takes."""

    what: str
    hint: str = ""
    code: str = "model-format"


Content = Part | Other
_EXPORT = "Export the model to ONNX from where it was made."
_UNPACK = "Unpack it, and name what is inside."
_ARCHIVE = Other("a zip archive", _UNPACK)

# bytes at an offset that belong to one kind of file only
_MAGIC: tuple[tuple[int, bytes, Content], ...] = (
    (4, b"TFL3", Part("tflite")),
    (4, b"ORTM", Other("an ONNX Runtime file (.ort)", "Give the ONNX model that it was made from.")),
    (4, b"ET12", Other("an ExecuTorch program (.pte)", _EXPORT)),
    (0, b"\x89HDF\r\n\x1a\n", Part("keras")),
    (0, b"RKNN", Other("a Rockchip .rknn file", "It is converted already: `invoke inspect` shows it.")),
    (0, b"GGUF", Other("a GGUF file", "Language models are for the vendor's RKLLM, not for RKNN.")),
    (0, b"7767517\n", Other("an ncnn model", _EXPORT)),
    (0, b"ptrt", Other("a TensorRT engine", _EXPORT)),
    (0, b"\x93NUMPY", Other("a NumPy array")),
    (0, struct.pack("<QQ", 0x112, 0), Part("mxnet", "params")),
    (0, b"\x1f\x8b", Other("a gzip archive", _UNPACK)),
    (0, b"BZh", Other("a bzip2 archive", _UNPACK)),
    (0, b"\xfd7zXZ", Other("an xz archive", _UNPACK)),
    (0, b"7z\xbc\xaf\x27\x1c", Other("a 7-Zip archive", _UNPACK)),
    (0, b"Rar!", Other("a RAR archive", _UNPACK)),
    (257, b"ustar", Other("a tar archive", _UNPACK)),
    (0, b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", Part("pytorch")),
    (0, b"\x80\x02", Other("a Python pickle, no PyTorch checkpoint", _EXPORT)),
    (0, b"\x80\x03", Other("a Python pickle, no PyTorch checkpoint", _EXPORT)),
    (0, b"\x80\x04", Other("a Python pickle, no PyTorch checkpoint", _EXPORT)),
    (0, b"\x80\x05", Other("a Python pickle, no PyTorch checkpoint", _EXPORT)),
    (8, b'{"', Other("a safetensors file, weights without their network", _EXPORT)),
)

# of the members of a zip: a file name, or a folder and a slash -> what the zip is; the first that is there
_MEMBERS: tuple[tuple[str, Content], ...] = (
    ("constants.pkl", Part("torchscript")),
    ("data.pkl", Part("pytorch")),
    ("model.weights.h5", Part("keras")),
    ("serialized_exported_program.json", Other("a program of torch.export (.pt2)", _EXPORT)),
    ("archive_format", Other("a program of torch.export (.pt2)", _EXPORT)),
)

_PAGE = "Download the model again: the server sent a page."
# what text is, by a regular expression on its first kilobytes; the first that fits. No
# pattern may try a long run of blanks again and again
_TEXT: tuple[tuple[bytes, Content], ...] = (
    (
        rb"\Aversion https://git-lfs",
        Other(
            "a Git LFS pointer, not a model", "Fetch the model itself with `git lfs pull`.", "model-invalid"
        ),
    ),
    (rb"(?i)\A\s*<(!doctype html|html)", Other("an HTML page, not a model", _PAGE, "model-invalid")),
    (rb"\A\s*(<\?xml[^>]*>\s*)?<net ", Other("an OpenVINO network", _EXPORT)),
    (rb"\A\s*<\?xml", Other("an XML file, not a model", "", "model-invalid")),
    (rb'\A\s*\{\s*"nodes"\s*:\s*\[', Part("mxnet", "symbol")),
    (rb"\A\s*[{\[]\s*[\"{\[]", Other("a JSON file, not a model", "", "model-invalid")),
    (rb"(?m)^[ \t]*\[(net|network)\]", Part("darknet", "cfg")),
    (
        rb"(?m)^[ \t]*(base_lr|train_net|lr_policy)[ \t]*:",
        Other("a Caffe solver", "Give the deploy.prototxt."),
    ),
    (rb"(?m)^[ \t]*(layers?|input_param|input_shape)\s{0,9}:?\s{0,9}\{", Part("caffe", "prototxt")),
    (
        rb"(?m)^[ \t]*(node|meta_graphs)\s{0,9}:?\s{0,9}\{",
        Other("a TensorFlow graph as text", "Save it as binary."),
    ),
)

# of files that begin with a protobuf message: what wire.format_of says -> what it is
_MESSAGES: dict[str, Content] = {
    "onnx": Part("onnx"),
    "caffe": Part("caffe", "caffemodel"),
    "tensorflow": Part("tensorflow"),
    "savedmodel": Part("savedmodel", "folder"),
    "tf-checkpoint": Part("tf-checkpoint", "meta"),
    "coreml": Other("a Core ML model", _EXPORT),
}

INDEX_END = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"
"""Ends the index of a TensorFlow checkpoint: that of LevelDB's tables."""
_LARGEST_INDEX = 4 << 20
"""It has a line for each tensor; what is larger need not be unpacked to its end."""
SHARD = re.compile(r"(.*)\.data-(\d{5})-of-(\d{5})", re.DOTALL)
"""The name of a file of a TensorFlow checkpoint's data, which begins with weights: stem, number, count."""

# what an extension promises, for messages about files that do not keep it
_PROMISES = {
    ".onnx": "onnx",
    ".tflite": "tflite",
    ".caffemodel": "caffe",
    ".prototxt": "caffe",
    ".cfg": "darknet",
    ".weights": "darknet",
    ".pb": "tensorflow",
    ".meta": "tf-checkpoint",
    ".index": "tf-checkpoint",
    ".h5": "keras",
    ".keras": "keras",
    ".pt": "pytorch",
    ".pth": "pytorch",
    ".torchscript": "torchscript",
    ".params": "mxnet",
}


def identify(entry: Entry) -> Content | None:
    """What a file is; None where nothing tells.

    Raises:
        Fault: model-invalid for a member of a zip that cannot be unpacked.
    """
    if SHARD.fullmatch(entry.path.name):
        return Part("tf-checkpoint", "data")
    head = entry.head()
    if head.startswith(b"PK\x03\x04"):
        return _zip(entry.members())
    for offset, magic, content in _MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return content
    if b"\0" not in head:
        for pattern, content in _TEXT:
            if re.search(pattern, head):
                return content
    if _is_darknet(head, entry.size):
        return Part("darknet", "weights")
    if message := wire.format_of(head):
        return _MESSAGES[message]
    if entry.size <= _LARGEST_INDEX and entry.tail(len(INDEX_END)) == INDEX_END:
        return Part("tf-checkpoint", "index")
    return None


def is_archive(content: Content | None) -> bool:
    """Whether it is a zip that may hold the files of a model."""
    return content is _ARCHIVE


def promised(path: Path) -> str:
    """The format that a file's extension promises; empty where it promises none."""
    suffixes = PurePosixPath(path.name.lower().removesuffix(".txt")).suffixes[-1:]
    return _PROMISES.get("".join(suffixes), "")


def title(name: str) -> str:
    """A format's name as people say it."""
    return chips.formats()[name].title


def refusal(path: Path, content: Content | None) -> Fault:
    """The fault for a file that is no model, or none that is wanted."""
    if isinstance(content, Other):
        return Fault(content.code, f"{path} is {content.what}.", content.hint)
    if isinstance(content, Part):
        return Fault("model-format", f"{path} is a {title(content.format)} file, not ONNX.")
    if name := promised(path):
        why = "truncated, damaged or of another kind"
        return Fault("model-invalid", f"{path} does not read as {title(name)}: it is {why}.")
    known = ", ".join(each.title for each in chips.formats().values())
    return Fault("model-format", f"Nothing in {path} tells what it is.", f"rkforge takes {known}.")


def require_file(path: Path) -> None:
    """Refuse a path that holds no bytes to read.

    Raises:
        Fault: model-missing or model-invalid (a folder, an empty file).
    """
    if path.is_dir():
        raise Fault("model-invalid", f"{path} is a folder.", "Name the model file in it.")
    if not path.is_file():
        raise Fault("model-missing", f"There is no model file {path}.")
    if path.stat().st_size == 0:
        raise Fault("model-invalid", f"{path} is empty.")


def refuse_other_formats(path: Path) -> None:
    """Refuse a file whose content shows that it is something other than ONNX.

    Raises:
        Fault: model-format for another format, model-invalid for a page, a pointer or other text.
    """
    content = identify(on_disk(path))
    if content is not None and content != Part(chips.ONNX):
        raise refusal(path, content)


def not_onnx(path: Path, cause: str) -> Fault:
    """The fault for content that is no ONNX although it looked like it."""
    return Fault("model-invalid", f"{path} does not read as an ONNX model: {cause}.")


def _zip(members: Sequence[str] | None) -> Content:
    if members is None:
        return Other("a damaged zip archive", "Get the file again.", "model-invalid")
    names = {name.rsplit("/", 1)[-1] for name in members}
    return next((content for name, content in _MEMBERS if name in names), _ARCHIVE)


def _is_darknet(head: bytes, size: int) -> bool:
    """Whether it begins with Darknet's version, 0.1 or 0.2 with a revision, and goes on in whole floats."""
    if len(head) < 16 or size % 4:
        return False
    major, minor, revision = struct.unpack_from("<3i", head)
    return major == 0 and minor in (1, 2) and 0 <= revision < 10
