"""Reads a Keras model: the JSON in which it describes itself, in an HDF5 file (.h5) or a zip (.keras)."""

import json
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import h5py

from host.sources.readers.damage import damaged
from host.sources.source import Interface, Port
from shared.faults import Fault

TITLE = "a Keras model"
_CONFIG = 64 << 20  # bytes; the JSON of hundreds of layers has less than one million
_HDF5 = b"\x89HDF\r\n\x1a\n"
_DEPTH = 8  # of models in models


def read(files: Mapping[str, Path]) -> Interface:
    """What a Keras file tells.

    Raises:
        Fault: model-invalid, or model-data-missing for a file with weights alone.
    """
    path = files["model"]
    with path.open("rb") as file:
        is_hdf5 = file.read(len(_HDF5)) == _HDF5
    try:
        text, version, parameters = _hdf5(path) if is_hdf5 else _zip(path)
        model = json.loads(text)
        told = _interface(model)
    except (
        json.JSONDecodeError,
        UnicodeDecodeError,
        KeyError,
        TypeError,
        AttributeError,
        IndexError,
    ) as error:
        raise damaged(path, TITLE, "its description is damaged") from error
    except (OSError, RuntimeError, ValueError, zipfile.BadZipFile, RecursionError) as error:
        raise damaged(path, TITLE) from error
    return replace(told, version=version, parameters=parameters)


def _hdf5(path: Path) -> tuple[str, str, int]:
    """Description, version and count of weights."""
    with h5py.File(path, "r") as file:
        if "model_config" not in file.attrs:
            raise Fault(
                "model-data-missing",
                f"{path} holds weights alone, without the model they belong to.",
                "Save the whole model: model.save(PATH) instead of model.save_weights(PATH).",
            )
        sizes: list[int] = []
        weights = file.get("model_weights", {})
        if weights:
            weights.visititems(
                lambda _, each: sizes.append(prod(each.shape)) if isinstance(each, h5py.Dataset) else None
            )
        version = _text(file.attrs.get("keras_version", ""))
        return _text(file.attrs["model_config"]), f"Keras {version}" if version else "", sum(sizes)


def _zip(path: Path) -> tuple[str, str, None]:
    with zipfile.ZipFile(path) as file:
        for name in ("config.json", "metadata.json"):
            if name not in file.namelist():
                raise damaged(path, TITLE, f"it has no {name}")
            if file.getinfo(name).file_size > _CONFIG:
                raise damaged(path, TITLE, f"its {name} is larger than any model's")
        version = json.loads(file.read("metadata.json")).get("keras_version", "")
        return file.read("config.json").decode(), f"Keras {version}" if version else "", None


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _interface(model: Mapping[str, Any]) -> Interface:
    config = model["config"]
    layers = config["layers"] if isinstance(config, dict) else config  # a list in early Sequential models
    by_name = {layer["config"]["name"]: layer for layer in layers}
    if isinstance(config, dict) and "input_layers" in config:
        inputs, outputs = (list(_names(config[key])) for key in ("input_layers", "output_layers"))
    else:
        inputs, outputs = [layers[0]["config"]["name"]], [layers[-1]["config"]["name"]]
    return Interface(
        version="",
        inputs=tuple(_port(by_name[name]["config"]) for name in inputs),
        outputs=tuple(Port(name, (), "float32") for name in outputs),
        operators=Counter(_classes(layers)),
        parameters=None,
        custom=tuple(
            sorted(
                {
                    layer["class_name"]
                    for layer in layers
                    if layer.get("registered_name") and ">" in layer["registered_name"]
                }
            )
        ),
    )


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
