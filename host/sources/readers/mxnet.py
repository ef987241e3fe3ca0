"""Reads an MXNet model: the graph in -symbol.json, the arrays in .params.

Layout of .params: src/ndarray/ndarray.cc of MXNet, NDArray::Save. Every array is walked over: a file that is
cut short and weights that the graph takes and the file lacks are found here.
"""

import json
import mmap
from collections import Counter
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

from host.sources.readers.damage import damaged
from host.sources.source import Interface, Port
from shared.faults import Fault
from shared.flatbuffer import Malformed, unpack

TITLE = "an MXNet model"
_LIST_MAGIC = 0x112
_MAGIC = {0xF993FAC8: False, 0xF993FAC9: True, 0xF993FACA: True}
"""Mark of an array -> whether its storage's kind follows; in the oldest files it is the rank itself."""
_SIZES = {0: 4, 1: 8, 2: 2, 3: 1, 4: 4, 5: 1, 6: 8, 7: 1}
"""Number of a type -> bytes."""
_MOST_AXES = 32
_LABEL = "label"
"""What names of inputs for training end in."""


def read(files: Mapping[str, Path]) -> Interface:
    """What symbol and params tell; the shapes of inputs are empty, as the files do not have them.

    Raises:
        Fault: model-invalid or model-data-missing.
    """
    graph, params = files["symbol"], files["params"]
    try:
        symbol = json.loads(graph.read_text(encoding="utf-8"))
        nodes = [(str(node["op"]), str(node["name"])) for node in symbol["nodes"]]
        taken = {entry[0] for node in symbol["nodes"] for entry in node["inputs"]}
        arguments = [nodes[number][1] for number in symbol["arg_nodes"]]
        outputs = [nodes[entry[0]][1] for entry in symbol["heads"]]
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise damaged(graph, "an MXNet symbol") from error
    arrays = _arrays(params)
    inputs = [
        name
        for number, (op, name) in enumerate(nodes)
        if op == "null" and name not in arrays and number in taken and not name.endswith(_LABEL)
    ]
    known = arrays.keys() & set(arguments)
    if not known:
        raise Fault(
            "model-data-missing",
            f"{params} has none of the weights that {graph.name} takes.",
            "Put the .params file that was saved with this -symbol.json beside it.",
        )
    lacking = [
        name for name in inputs if name.endswith(("_weight", "_bias", "_gamma", "_beta", "_mean", "_var"))
    ]
    if lacking:
        raise Fault(
            "model-data-missing",
            f"{params} lacks the weights {', '.join(map(repr, lacking[:5]))}.",
            "Put the .params file that was saved with this -symbol.json beside it.",
        )
    return Interface(
        version=_version(symbol),
        inputs=tuple(Port(name, (), "float32") for name in inputs),
        outputs=tuple(Port(name, (), "float32") for name in outputs),
        operators=Counter(op for op, _ in nodes if op != "null"),
        parameters=sum(prod(arrays[name]) for name in known),
        custom=("Custom",) if any(op == "Custom" for op, _ in nodes) else (),
    )


def _version(symbol: Mapping[str, Any]) -> str:
    attributes = symbol.get("attrs")
    entry = attributes.get("mxnet_version") if isinstance(attributes, dict) else None
    number = entry[1] if isinstance(entry, list) and len(entry) > 1 and isinstance(entry[1], int) else 0
    return f"MXNet {number // 10000}.{number // 100 % 100}.{number % 100}" if number else ""


def _arrays(path: Path) -> dict[str, tuple[int, ...]]:
    """Name -> shape. Raises Fault model-invalid."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _walk(data)  # type: ignore[arg-type]  # a mapped file reads as bytes do
    except (Malformed, UnicodeDecodeError, ValueError, IndexError) as error:
        raise damaged(path, TITLE, str(error) if isinstance(error, Malformed) else "it is damaged") from error


def _walk(data: bytes) -> dict[str, tuple[int, ...]]:
    magic, _, count = unpack("QQQ", data, 0)
    if magic != _LIST_MAGIC:
        raise Malformed("it lacks the mark of .params files")
    at, shapes = 24, []
    for _ in range(min(count, len(data))):
        shape, at = _array(data, at)
        shapes.append(shape)
    (names,) = unpack("Q", data, at)
    at += 8
    found = {}
    for number in range(min(names, len(data))):
        (length,) = unpack("Q", data, at)
        name = bytes(unpack(f"{min(length, len(data))}s", data, at + 8)[0]).decode()
        at += 8 + length
        found[name.partition(":")[2] or name] = shapes[number]
    return found


def _array(data: bytes, at: int) -> tuple[tuple[int, ...], int]:
    """The shape of the array at a position, and where the next one begins."""
    (magic,) = unpack("I", data, at)
    rank, width = magic, "I"
    if magic in _MAGIC:
        at += 4
        if _MAGIC[magic]:
            if unpack("i", data, at)[0] != 0:
                raise Malformed("its arrays are sparse")
            at += 4
        (rank,), width = unpack("I", data, at), "q"
    if rank > _MOST_AXES:
        raise Malformed(f"an array has {rank} dimensions")
    at += 4
    shape = unpack(f"{rank}{width}", data, at)
    at += rank * (4 if width == "I" else 8)
    if not rank:
        return (), at
    # then the device's type and number, and the type of the values
    _, _, kind = unpack("iii", data, at)
    if kind not in _SIZES:
        raise Malformed(f"an array is of the unknown type {kind}")
    at += 12 + prod(shape) * _SIZES[kind]
    if at > len(data) or min(shape) < 0:
        raise Malformed("an array lies outside the file")
    return tuple(map(int, shape)), at
