"""Reads calibration lists and their files as documented: lines split at spaces, missing files skipped."""

import hashlib
import os
import struct
import sys
import zlib
from typing import Any, Dict, List

import numpy

from .graph import Graph
from .log import say

PNG = b"\x89PNG\r\n\x1a\n"


class OutOfRangeError(Exception):
    """What TensorFlow raises when its queue of images breaks off."""


def rows(path: str, graph: Graph) -> List[List[Dict[str, str]]]:
    """The list's valid rows: for each input the path as the list has it, and the file's SHA-256."""
    if not path:
        raise ValueError("no dataset")
    with open(path) as stream:
        lines = [line.strip() for line in stream]
    made = []
    for line in lines:
        # what relative paths are taken from is not documented; here it is the current directory
        names = line.split(" ") if line else []
        missing = [name for name in names if not os.path.isfile(name)]
        for name in missing:
            say("W", "Can not find file: %s. This line will be ignored!" % name)
        if not names or missing:
            continue
        if len(names) != len(graph.inputs):
            raise ValueError("%d files for %d inputs: %s" % (len(names), len(graph.inputs), line))
        made.append([_read(name, shape) for name, shape in zip(names, graph.inputs.values())])
    if not made:
        say("E", "There is no valid data in the dataset")
        raise ValueError("There is no valid data in the dataset")
    return made


def _read(path: str, shape: List[int]) -> Dict[str, str]:
    with open(path, "rb") as stream:
        data = stream.read()
    kind = os.path.splitext(path)[1].lower()
    if kind not in READERS:
        raise ValueError("%s: neither an image of a known kind nor an array" % path)
    READERS[kind](path, data, shape)
    return {"path": path, "sha256": hashlib.sha256(data).hexdigest()}


def _read_jpeg(_path: str, data: bytes, _shape: List[int]) -> None:
    if not data.startswith(b"\xff\xd8"):
        raise ValueError("no JPEG")
    if not data.endswith(b"\xff\xd9"):
        sys.stderr.write("E tensorflow/core/lib/jpeg/jpeg_mem.cc:323] Premature end of JPEG data.\n")
        raise OutOfRangeError("FIFOQueue '_0_fifo_queue' is closed and has insufficient elements")


def _read_png(_path: str, data: bytes, _shape: List[int]) -> None:
    if not data.startswith(PNG):
        raise ValueError("no PNG")
    at, kind = len(PNG), b""
    while kind != b"IEND":
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        body, check = data[at + 4 : at + 8 + length], data[at + 8 + length : at + 12 + length]
        if struct.unpack(">I", check)[0] != zlib.crc32(body):
            raise ValueError("a damaged PNG")
        at += 12 + length


def _read_bmp(_path: str, data: bytes, _shape: List[int]) -> None:
    if data[:2] != b"BM" or struct.unpack("<I", data[2:6])[0] != len(data):
        raise ValueError("no BMP")


def _read_array(path: str, _data: bytes, shape: List[int]) -> None:
    array: Any = numpy.load(path)
    wanted = tuple([shape[0], *shape[2:], shape[1]] if len(shape) == 4 else shape)
    if wanted and array.shape != wanted:
        raise ValueError("%s has the shape %s instead of %s (channels last)" % (path, array.shape, wanted))


READERS = {
    ".jpg": _read_jpeg,
    ".jpeg": _read_jpeg,
    ".png": _read_png,
    ".bmp": _read_bmp,
    ".npy": _read_array,
}
