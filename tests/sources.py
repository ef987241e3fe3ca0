"""Small real models in every format: those of tests/data/sources, and those written here byte by byte."""

import shutil
import struct
from collections.abc import Mapping
from math import prod
from pathlib import Path

import numpy as np

from tests import models

DATA = Path(__file__).parent / "data" / "sources"
WHOLE: Mapping[str, tuple[str, ...]] = {
    "onnx": ("net.onnx",),
    "tflite": ("net.tflite",),
    "torchscript": ("script.pt",),
    "pytorch": ("whole.pt",),
    "caffe": ("net.prototxt", "net.caffemodel"),
    "darknet": ("net.cfg", "net.weights"),
    "tensorflow": ("frozen.pb",),
    "savedmodel": ("saved",),
    "tf-checkpoint": ("model.ckpt.meta", "model.ckpt.data-00000-of-00001", "model.ckpt.index"),
    "keras": ("net.h5",),
    "mxnet": ("net-symbol.json", "net-0000.params"),
}
"""Format -> names of the files that `copy` writes for it."""

_PROTOTXT = """# a comment before everything
name: "net"
input: "data"
input_shape { dim: 1 dim: 3 dim: 8 dim: 8 }
layer {
  name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 }
}
"""
_CFG = """# a comment
[net]
width=8
height=8
channels=3

[convolutional]
filters=4
size=3
stride=1
pad=1
activation=leaky
"""
_SYMBOL = """{
  "nodes": [
    {"op": "null", "name": "data", "inputs": []},
    {"op": "null", "name": "conv_weight", "inputs": []},
    {"op": "null", "name": "conv_bias", "inputs": []},
    {"op": "Convolution", "name": "conv", "attrs": {"kernel": "(3, 3)", "num_filter": "4"},
     "inputs": [[0, 0, 0], [1, 0, 0], [2, 0, 0]]}
  ],
  "arg_nodes": [0, 1, 2],
  "heads": [[3, 0, 0]],
  "attrs": {"mxnet_version": ["int", 10500]}
}
"""


def copy(name: str, folder: Path) -> Path:
    """Write a model of that format into a folder; the path of its first file, which stands for it."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in WHOLE[name]:
        if (DATA / file).is_dir():
            shutil.copytree(DATA / file, folder / file)
        elif (DATA / file).is_file():
            shutil.copyfile(DATA / file, folder / file)
        else:
            (folder / file).write_bytes(_written(file))
    return folder / WHOLE[name][0]


def _written(file: str) -> bytes:
    if file == "net.onnx":
        return bytes(models.conv(4, (1, 3, 8, 8)).SerializeToString())
    return {
        "net.prototxt": _PROTOTXT.encode(),
        "net.caffemodel": caffemodel(),
        "net.cfg": _CFG.encode(),
        "net.weights": struct.pack("<3iq", 0, 2, 5, 0) + _floats(4 + 4 * 3 * 9),
        "net-symbol.json": _SYMBOL.encode(),
        "net-0000.params": _params({"arg:conv_weight": (4, 3, 3, 3), "arg:conv_bias": (4,)}),
    }[file]


def caffemodel(old: bool = False) -> bytes:
    """The weights of the network above; in Caffe's older form of layers, too."""
    number = 6 if old else 7
    blobs = b"".join(
        _field(number, _field(7, _field(1, bytes(shape))) + _field(5, _floats(prod(shape))))
        for shape in ((4, 3, 3, 3), (4,))
    )
    if old:
        return _field(1, b"net") + _field(2, _field(4, b"conv") + b"\x28\x04" + blobs)
    return _field(1, b"net") + _field(100, _field(1, b"conv") + _field(2, b"Convolution") + blobs)


def _params(shapes: Mapping[str, tuple[int, ...]]) -> bytes:
    """MXNet's list of arrays: of each a magic number, shape, device (CPU) and type (float32), then names."""
    parts = [struct.pack("<QQQ", 0x112, 0, len(shapes))]
    for shape in shapes.values():
        parts.append(struct.pack(f"<IiI{len(shape)}qiii", 0xF993FAC9, 0, len(shape), *shape, 1, 0, 0))
        parts.append(_floats(prod(shape)))
    parts.append(struct.pack("<Q", len(shapes)))
    parts += [struct.pack("<Q", len(name)) + name.encode() for name in shapes]
    return b"".join(parts)


def _floats(count: int) -> bytes:
    return np.random.default_rng(0).normal(size=count).astype("<f4").tobytes()


def _field(number: int, content: bytes) -> bytes:
    """A protobuf field of bytes."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    """A protobuf number."""
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])
