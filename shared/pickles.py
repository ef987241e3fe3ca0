"""Whether a pickle may be loaded: what it would import, held against a list of what checkpoints need.

A pickle is a program: loading one runs what it names. The names are found without loading (opcodes.py), and
each line of the list below was put there on purpose. Names alone do not tell networks from attacks, since a
class that checkpoints need may do anything when its methods run. So this is one wall of several: the
environment that loads has no network and no privileges, and PyTorch's own restricted unpickler checks again.
"""

import io
import os
import re
import struct
import tarfile
import zipfile
from typing import IO, Iterator, List, NamedTuple, Optional, Sequence

from shared.faults import Fault
from shared.opcodes import Scan

CALLED = frozenset(
    (
        *("__builtin__.set", "builtins.set", "__builtin__.frozenset", "builtins.frozenset"),
        *("__builtin__.slice", "builtins.slice", "__builtin__.bytearray", "builtins.bytearray"),
        *("__builtin__.complex", "builtins.complex", "_codecs.encode", "collections.OrderedDict"),
        *("datetime.date", "datetime.datetime", "datetime.time", "datetime.timedelta", "datetime.timezone"),
        *("numpy.dtype", "numpy.core.multiarray._reconstruct", "numpy.core.multiarray.scalar"),
        *("numpy._core.multiarray._reconstruct", "numpy._core.multiarray.scalar"),
        *("pathlib.Path", "pathlib.PosixPath", "pathlib.PurePosixPath", "pathlib.WindowsPath"),
        *("pathlib._local.PosixPath", "pathlib._local.WindowsPath"),
        *("torch.Size", "torch.device", "torch._utils._rebuild_parameter", "torch._utils._rebuild_tensor"),
        *("torch._utils._rebuild_tensor_v2", "torchvision.transforms.functional.InterpolationMode"),
        *("types.SimpleNamespace", "ultralytics.utils.IterableSimpleNamespace"),
        "ultralytics.yolo.utils.IterableSimpleNamespace",
    )
)
"""What a checkpoint calls. Nothing here calls, imports or opens what it is given."""
_CLASS = r"(v\d+)?[A-Z]\w+"
NAMED = re.compile(
    "|".join(
        (
            r"(__builtin__|builtins)\.(bool|bytes|dict|float|int|list|object|str|tuple)",
            r"numpy\.(ndarray|bool_|float(16|32|64)|u?int(8|16|32|64))",
            r"torch\.(BFloat16|Bool|Byte|Char|Double|Float|Half|Int|Long|Short)Storage",
            r"torch\.storage\.(Typed|Untyped)Storage",
            r"torch\.(bfloat16|bool|u?int8|float(16|32|64)|int(16|32|64))",
            r"torch\.nn\.functional\.(elu|gelu|hardswish|leaky_relu|relu|relu6|sigmoid|silu|softmax|tanh)",
            r"torch\.nn\.modules\.\w+\.%s" % _CLASS,
            r"torch\.nn\.parameter\.(Buffer|Parameter)",
            r"torchvision\.(models(\.(detection|segmentation))?|ops)\.\w+\.%s" % _CLASS,
            r"torchvision\.transforms\.transforms\.(CenterCrop|Compose|Normalize|Resize|ToTensor)",
            r"torchvision\.transforms\.functional:InterpolationMode\.[A-Z]+",
            r"ultralytics\.nn\.modules\.(\w+\.)?%s" % _CLASS,
            r"ultralytics\.nn\.modules\.head:%s\.forward" % _CLASS,
            r"ultralytics\.nn\.tasks\.(\w+Model|Ensemble)",
            r"ultralytics\.(yolo\.)?utils\.(loss|tal)\.%s" % _CLASS,
        )
    )
)
"""What a checkpoint names and does not call: types, and classes whose empty instances are filled. Classes of
networks have capital letters; functions, and modules that a module imported, do not."""
STATE = re.compile(
    r"collections\.OrderedDict|torch\.(storage\.)?\w+Storage|torch\._utils\._rebuild_(tensor|tensor_v2|parameter)"
    r"|torch\.(Size|device|bfloat16|bool|u?int8|float\d\d|int\d\d)|(__builtin__|builtins)\.\w+|_codecs\.encode"
    r"|numpy\..*|datetime\..*|pathlib\..*|types\.SimpleNamespace|argparse\.Namespace"
)
"""What tensors and plain data name: a checkpoint of nothing else has no network in it."""
LEGACY_PICKLES = 5
"""In PyTorch's format before 1.6: magic number, version, system, the object, the keys of what follows."""
ZIP = b"PK\x03\x04"
SHOWN = 5
"""Names in a message."""
MAX_BYTES = 64 << 20
"""A pickle holds names and shapes; the weights lie beside it."""


def allowed(name: str) -> bool:
    """Whether a checkpoint may name this, as `globals_of` spells it."""
    return name in CALLED or NAMED.fullmatch(name) is not None


def refused(names: Sequence[str]) -> List[str]:
    """Those of the names that are not on the list."""
    return [name for name in names if not allowed(name)]


def holds_network(names: Sequence[str]) -> bool:
    """Whether there is more than tensors and plain data: False for a state dict."""
    return not all(STATE.fullmatch(name) for name in names)


def check(path: str) -> None:
    """Fault pickle-refused, with the names, if `torch.load` would import what is not on the list."""
    bad = refused(checkpoint_globals(path))
    if bad:
        more = " and %d more" % (len(bad) - SHOWN) if len(bad) > SHOWN else ""
        message = "%s is a pickle that would run %s%s" % (
            os.path.basename(path),
            ", ".join(bad[:SHOWN]),
            more,
        )
        raise Fault("pickle-refused", message)


def globals_of(data: bytes) -> List[str]:
    """What the pickles in `data`, one after the other, would import: ["collections.OrderedDict", ...].

    A name that walks through attributes is "module:outer.inner". What is called and should not be is listed a
    second time as "name()". Where a pickle cannot be followed, the rest is one entry that begins with "?".
    """
    scan = Scan(CALLED.__contains__)
    stream = io.BytesIO(data)
    while stream.tell() < len(data) and scan.read(stream):
        pass
    return list(scan.names)


def checkpoint_globals(path: str) -> List[str]:
    """What `torch.load` would import for a file, in any of PyTorch's formats, as `globals_of` lists it.

    Raises:
        OSError: the file cannot be read.
    """
    scan = Scan(CALLED.__contains__)
    with open(path, "rb") as stream:
        zipped = stream.read(len(ZIP)) == ZIP
    if zipped:
        _zipped(path, scan)
    elif _is_tar(path):
        scan.unknown("it is a tar archive, as PyTorch wrote them in its first year")
    else:
        with open(path, "rb") as stream:
            for _ in range(LEGACY_PICKLES):
                if not scan.read(stream):
                    break
    return list(scan.names)


def _zipped(path: str, scan: Scan) -> None:
    """Every pickle in the archive, whichever of them a reader may take for the checkpoint's own."""
    try:
        if not _one_directory(path):
            scan.unknown("readers may find different files in the archive")
        for data in _pickles(path):
            scan.read(io.BytesIO(data))
    except Exception as error:  # zipfile, zlib, lzma and bz2 have many of their own
        if isinstance(error, OSError) and error.errno:
            raise
        scan.unknown("the archive is damaged: %s" % error)


def _pickles(path: str) -> Iterator[bytes]:
    with zipfile.ZipFile(path) as archive:
        # all names are told apart without case: PyTorch's reader does not mind it
        members = [info for info in archive.infolist() if ".pkl" in info.orig_filename.lower()]
        if not members:
            raise ValueError("there is no data.pkl in it")
        for info in members:
            if info.file_size > MAX_BYTES:
                raise ValueError("%s is too large" % info.filename)
            yield archive.read(info)


class _End(NamedTuple):
    """The end of a zip archive: its own place, and where it says that the directory lies."""

    place: int
    offset: int
    size: int


def _one_directory(path: str) -> bool:
    """Whether all readers of zip files find the same directory: right before the end, the end at the end."""
    with open(path, "rb") as stream:
        stream.seek(0, io.SEEK_END)
        length = stream.tell()
        end = _end(stream, length)
    return end is not None and end.offset + end.size == end.place


def _end(stream: IO[bytes], length: int) -> Optional[_End]:
    tail = _read(stream, length - 22, 22)
    if tail[:4] != b"PK\x05\x06" or tail[20:] != b"\0\0":
        return None
    size, offset = struct.unpack("<LL", tail[12:20])
    locator = _read(stream, length - 42, 20)
    if locator[:4] != b"PK\x06\x07":
        return _End(length - 22, offset, size)
    (place,) = struct.unpack("<Q", locator[8:16])
    record = _read(stream, place, 56)
    if record[:4] != b"PK\x06\x06" or place + 56 != length - 42:
        return None
    large_size, large_offset = struct.unpack("<QQ", record[40:56])
    same = size in (large_size, 0xFFFFFFFF) and offset in (large_offset, 0xFFFFFFFF)
    return _End(place, large_offset, large_size) if same else None


def _read(stream: IO[bytes], place: int, count: int) -> bytes:
    if place < 0:
        return b""
    stream.seek(place)
    return stream.read(count)


def _is_tar(path: str) -> bool:
    """As PyTorch finds out."""
    try:
        with tarfile.open(path, "r:"):
            return True
    except tarfile.TarError:
        return False
