"""Keras files that carry Python code: Lambda layers. Not every version of Keras refuses them by itself."""

import json
import zipfile
from typing import Any

import h5py

from shared.faults import Fault

CODE = "Lambda"
"""The layer that is kept as the bytes of a Python function."""


def refuse_code(file: str) -> None:
    """Refuse a file that runs code of its own when it is loaded.

    Raises:
        Fault: pickle-refused; model-format for weights without their network.
    """
    if CODE in _classes(_configuration(file)):
        raise Fault(
            "pickle-refused",
            "the file has a Lambda layer: Python code, which would run",
            "If you trust where the file comes from, add --trust-pickle; or save it without the layer.",
        )


def _configuration(file: str) -> Any:
    """The description of the network, as Keras keeps it in either kind of file."""
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            return json.loads(archive.read("config.json"))
    with h5py.File(file, "r") as content:
        if "model_config" not in content.attrs:
            raise Fault(
                "model-format",
                "the file has weights without the network that they belong to",
                "Save the whole model: model.save(), not model.save_weights().",
            )
        return json.loads(content.attrs["model_config"])


def _classes(value: Any) -> set[str]:
    """The names of all classes in a description."""
    if isinstance(value, dict):
        inner = [_classes(each) for each in value.values()]
        return {str(value.get("class_name"))}.union(*inner)
    return set().union(*map(_classes, value)) if isinstance(value, list) else set()
