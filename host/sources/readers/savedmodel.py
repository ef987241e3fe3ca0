"""Reads a TensorFlow SavedModel: the signature that serves, and the variables beside it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from host.sources.parts import SAVED_MODEL
from host.sources.readers import graphdef
from host.sources.readers.damage import damaged
from host.sources.source import Interface, Port
from shared.faults import Fault

TITLE = "a TensorFlow SavedModel"
_SERVE = "serve"  # the tag of the graph for use
_SIGNATURE = "serving_default"
_BOOKKEEPING = "__saved_model_init_op"


def read(files: Mapping[str, Path]) -> Interface:
    """What a SavedModel's folder tells; inputs and outputs have the names of its signature.

    Raises:
        Fault: model-invalid, or model-data-missing for variables that are not there.
    """
    folder = files["folder"]
    path = folder / SAVED_MODEL
    saved = graphdef.parse(path, "SavedModel", TITLE)
    if not saved.meta_graphs:
        raise damaged(path, TITLE, "it has no graph")
    meta = next(
        (each for each in saved.meta_graphs if _SERVE in each.meta_info_def.tags), saved.meta_graphs[0]
    )
    told = graphdef.interface(meta.graph_def, _version(meta))
    _require_variables(folder, told.operators)
    signatures = {entry.key: entry.value for entry in meta.signature_def if entry.key != _BOOKKEEPING}
    if not signatures:
        raise Fault(
            "model-invalid",
            f"{folder} has no signature that names its inputs and outputs.",
            f"Save the model again with signatures={{{_SIGNATURE!r}: ...}}.",
        )
    signature = signatures.get(_SIGNATURE, next(iter(signatures.values())))
    return replace(told, inputs=_ports(signature.inputs), outputs=_ports(signature.outputs), parameters=None)


def _ports(entries: Any) -> tuple[Port, ...]:
    named = sorted(((entry.key, entry.value) for entry in entries), key=lambda each: each[0])
    return tuple(graphdef.described(name, info.dtype, info.tensor_shape) for name, info in named)


def _version(meta: Any) -> str:
    version = meta.meta_info_def.tensorflow_version
    return f"TensorFlow {version}" if version else ""


def _require_variables(folder: Path, operators: Mapping[str, int]) -> None:
    """Refuse a graph with variables whose values are not in the folder."""
    if any(operators.get(operator) for operator in graphdef.VARIABLES):
        values = folder / "variables"
        for pattern in ("variables.index", "variables.data-*"):
            if not any(values.glob(pattern)):
                raise Fault(
                    "model-data-missing",
                    f"{folder} has no variables/{pattern}: the values of its variables are not there.",
                    "Copy the whole folder of the SavedModel.",
                )
