"""Reads a Keras model: the JSON in which it describes itself, in an HDF5 file (.h5) or a zip (.keras).

An HDF5 file is searched for that JSON, which lies in it in one piece. The library that knows HDF5 is not
asked: one flipped bit can make it search for ever.
"""

import json
import mmap
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from host.sources.readers.damage import damaged
from host.sources.recognition.entries import DAMAGE
from host.sources.source import Interface, Port
from shared.faults import Fault

TITLE = "a Keras model"
_CONFIG = 64 << 20
"""Bytes of JSON; that of hundreds of layers has less than one million."""
_HDF5 = b"\x89HDF\r\n\x1a\n"
_BEGIN = re.compile(rb'\{"(?:module": ?"[\w.]*", ?")?class_name": ?"')
_MOST_PIECES = 20
"""That begin like it: optimizers, or what is left of a damaged one."""
_DEPTH = 8  # of models in models
ARCHIVE, BATCH_SHAPE = ".keras archive", "batch_shape"
"""Listed among the operators, though they are none: what versions of Keras differ in."""


def read(files: Mapping[str, Path]) -> Interface:
    """What a Keras file tells.

    Raises:
        Fault: model-invalid, or model-data-missing for a file with weights alone.
    """
    path = files["model"]
    with path.open("rb") as file:
        is_hdf5 = file.read(len(_HDF5)) == _HDF5
    try:
        model, version = _hdf5(path) if is_hdf5 else _zip(path)
        told = _interface(model)
        marks = {} if is_hdf5 else {ARCHIVE: 1}
        return replace(told, version=version, operators={**told.operators, **marks})
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise damaged(path, TITLE, "its description is damaged") from error
    except DAMAGE as error:
        raise damaged(path, TITLE) from error


def _hdf5(path: Path) -> tuple[Mapping[str, Any], str]:
    """Description and version, which is not beside it."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at, broken = 0, False
        for _ in range(_MOST_PIECES):
            begin = _BEGIN.search(data, at)
            if not begin:
                break
            text = data[begin.start() : begin.start() + _CONFIG].decode(errors="replace")
            try:
                model, length = json.JSONDecoder().raw_decode(text)
            except ValueError:
                at, broken = begin.end(), True
                continue
            config = model.get("config")
            if isinstance(config, list) or (isinstance(config, dict) and "layers" in config):
                return model, ""
            at = begin.start() + length
    if broken:
        raise damaged(path, TITLE, "its description is damaged")
    raise Fault(
        "model-data-missing",
        f"{path} holds weights alone, without the model they belong to.",
        "Save the whole model: model.save(PATH) instead of model.save_weights(PATH).",
    )


def _zip(path: Path) -> tuple[Mapping[str, Any], str]:
    with zipfile.ZipFile(path) as file:
        for name in ("config.json", "metadata.json"):
            if name not in file.namelist():
                raise damaged(path, TITLE, f"it has no {name}")
            if file.getinfo(name).file_size > _CONFIG:
                raise damaged(path, TITLE, f"its {name} is larger than any model's")
        version = json.loads(file.read("metadata.json")).get("keras_version", "")
        return json.loads(file.read("config.json")), f"Keras {version}" if version else ""


def _interface(model: Mapping[str, Any]) -> Interface:
    config = model["config"]
    layers = config["layers"] if isinstance(config, dict) else config  # a list in early Sequential models
    by_name = {layer["config"]["name"]: layer for layer in layers}
    if isinstance(config, dict) and "input_layers" in config:
        inputs, outputs = (list(_names(config[key])) for key in ("input_layers", "output_layers"))
    else:
        inputs, outputs = [layers[0]["config"]["name"]], [layers[-1]["config"]["name"]]
    configs = [by_name[name]["config"] for name in inputs]
    return Interface(
        version="",
        inputs=tuple(map(_port, configs)),
        outputs=tuple(Port(name, (), "float32") for name in outputs),
        operators=Counter([*_classes(layers), *(BATCH_SHAPE for port in configs if BATCH_SHAPE in port)]),
        parameters=None,
        custom=tuple(sorted({layer["class_name"] for layer in layers if ">" in _registered(layer)})),
    )


def _registered(layer: Mapping[str, Any]) -> str:
    """The name of a class as Keras 3 registers it: "package>class" where it is not its own."""
    return layer.get("registered_name") or ""


def _names(entries: Any) -> Iterator[str]:
    """The layers in [[name, node, tensor], ...]; Keras 3 leaves the outer brackets out where there is one."""
    if entries and isinstance(entries[0], str):
        entries = [entries]
    if isinstance(entries, dict):
        entries = list(entries.values())
    for entry in entries:
        yield str(entry[0])


def _port(config: Mapping[str, Any]) -> Port:
    shape = config.get("batch_input_shape", config.get("batch_shape")) or ()
    dtype = config.get("dtype", "float32")
    lengths = tuple(length if isinstance(length, int) and length > 0 else "?" for length in shape)
    return Port(
        config["name"], lengths, dtype if isinstance(dtype, str) else "float32", channels_last=len(shape) == 4
    )


def _classes(layers: Any, depth: int = 0) -> Iterator[str]:
    for layer in layers:
        inner = layer["config"].get("layers")
        if inner and depth < _DEPTH:
            yield from _classes(inner, depth + 1)
        elif layer["class_name"] != "InputLayer":
            yield str(layer["class_name"])
