"""Reads what other frameworks write, as far as a package without them can tell a good file from a bad one.

What the vendor's documentation leaves open is decided against the caller: a Caffe model without weights, for
which the toolkit would make some up, sizes with a batch, names of tensors in place of layers.
"""

import hashlib
import importlib
import json
import os
import re
import zipfile
from typing import Any, Dict, List, Optional, Tuple

from .graph import Graph

PROTOS = ("caffe", "lstm_caffe")
HDF5 = b"\x89HDF\r\n\x1a\n"
TFLITE = b"TFL3"
PARAMS = (0x112).to_bytes(8, "little")
"""How MXNet's lists of arrays begin."""
DARKNET_HEADER = 16
UNKNOWN: Dict[str, List[int]] = {"input": []}
"""One input, of whatever shape the file says, which the double does not read."""


def caffe(model: str, proto: str, blobs: Optional[str]) -> Graph:
    """A prototxt of today's syntax with its weights."""
    if proto not in PROTOS:
        raise ValueError("proto %r: choose from %s" % (proto, PROTOS))
    if blobs is None:
        raise ValueError("no blobs: the weights would be random")
    text = _text(model)
    if re.search(r"^\s*layers\s*\{", text, re.MULTILINE) or "round_mode" in text:
        raise ValueError("%s: not of the syntax that the toolkit reads" % model)
    shape = re.search(r"(?:shape|input_shape)\s*:?\s*\{((?:\s*dim\s*:\s*\d+)+)\s*\}", text)
    dims = re.findall(r"input_dim\s*:\s*(\d+)", text) or re.findall(r"\d+", shape.group(1) if shape else "")
    if len(dims) < 2:
        raise ValueError("%s: no input" % model)
    layers = re.findall(r"""layer\s*\{\s*name\s*:\s*"([^"]+)"\s*type\s*:\s*"([^"]+)\"""", text)
    return _graph({"data": [int(each) for each in dims[:4]]}, layers, model, blobs)


def darknet(model: str, weight: str) -> Graph:
    """A cfg with its weights."""
    text = _text(model)
    net = dict(re.findall(r"^(width|height|channels)\s*=\s*(\d+)", text, re.MULTILINE))
    sections = re.findall(r"^\[(\w+)\]", text, re.MULTILINE)
    if sections[:1] not in (["net"], ["network"]) or len(net) < 3:
        raise ValueError("%s: no [net] with width, height and channels" % model)
    if os.path.getsize(weight) <= DARKNET_HEADER:
        raise ValueError("%s: no weights" % weight)
    shape = [1, int(net["channels"]), int(net["height"]), int(net["width"])]
    layers = [("%s_%d" % (kind, number), kind) for number, kind in enumerate(sections[1:])]
    return _graph({"net": shape}, layers, model, weight)


def tensorflow(tf_pb: str, inputs: List[str], input_size_list: List[List[int]], outputs: List[str]) -> Graph:
    """A frozen graph; its sizes are [H, W, C] for images, its names those of layers."""
    importlib.import_module("tensorflow")
    names = [*inputs, *outputs]
    if not inputs or not outputs or any(":" in name for name in names):
        raise ValueError("inputs and outputs are names of layers, not %s" % names)
    data = _read(tf_pb)
    missing = [name for name in names if name.encode() not in data]
    if missing:
        raise KeyError("The name '%s' refers to an Operation not in the graph." % missing[0])
    shapes = _shapes(inputs, input_size_list)
    first = {
        name: [1, size[3], size[1], size[2]] if len(size) == 4 else size for name, size in shapes.items()
    }
    return _graph(first, [(name, "Output") for name in reversed(outputs)], tf_pb)


def tflite(model: str) -> Graph:
    """A flatbuffer of TensorFlow Lite's third schema."""
    if _read(model)[4:8] != TFLITE:
        raise ValueError("%s: no TensorFlow Lite model" % model)
    return _graph(UNKNOWN, [("output", "Output")], model)


def keras(model: str) -> Graph:
    """An HDF5 file; the toolkit knows none of Keras' later formats."""
    importlib.import_module("tensorflow")
    if not model.endswith(".h5") or not _read(model).startswith(HDF5):
        raise OSError("Unable to open file (file signature not found): %s" % model)
    if b'"batch_shape"' in _read(model):
        raise ValueError("Unrecognized keyword arguments: ['batch_shape', 'optional']")
    return _graph(UNKNOWN, [("output", "Output")], model)


def pytorch(model: str, input_size_list: List[List[int]]) -> Graph:
    """What torch.jit.save wrote; sizes are [C, H, W]."""
    importlib.import_module("torch")
    _read(model)
    names = zipfile.ZipFile(model).namelist() if zipfile.is_zipfile(model) else []
    if not any(name.endswith("constants.pkl") for name in names):
        raise RuntimeError("PytorchStreamReader failed locating file constants.pkl: file not found")
    inputs = ["input.%d" % number for number in range(len(input_size_list))]
    return _graph(_shapes(inputs, input_size_list), [("output", "Output")], model)


def mxnet(symbol: str, params: str, input_size_list: List[List[int]]) -> Graph:
    """A symbol's JSON and its parameters; sizes are [C, H, W]."""
    importlib.import_module("mxnet")
    nodes = json.loads(_text(symbol))["nodes"]
    if not _read(params).startswith(PARAMS):
        raise ValueError("%s: Invalid NDArray file format" % params)
    inputs = [node["name"] for node in nodes if node["op"] == "null"][: len(input_size_list)]
    layers = [(node["name"], node["op"]) for node in nodes if node["op"] != "null"]
    return _graph(_shapes(inputs, input_size_list), layers, symbol, params)


def _shapes(inputs: List[str], sizes: List[List[int]]) -> Dict[str, List[int]]:
    """Name -> size with a batch of 1."""
    if not sizes or len(sizes) != len(inputs):
        raise ValueError("%d inputs with %d sizes" % (len(inputs), len(sizes)))
    for size in sizes:
        if not size or len(size) > 3 or any(type(each) is not int or each < 1 for each in size):
            raise ValueError("input_size_list has %s: up to three numbers, without the batch" % (size,))
    return {name: [1, *size] for name, size in zip(inputs, sizes)}


def _graph(inputs: Dict[str, List[int]], layers: List[Tuple[Any, Any]], *files: str) -> Graph:
    digest = hashlib.sha256(b"".join(_read(path) for path in files)).hexdigest()
    return Graph("model", inputs, [(str(name), str(op)) for name, op in reversed(layers)], digest)


def _text(path: str) -> str:
    return _read(path).decode("utf-8")


def _read(path: str) -> bytes:
    with open(path, "rb") as stream:
        return stream.read()
