"""PyTorch checkpoints, which are pickles: held against the list again, then loaded as narrowly as may be."""

import importlib
import os
from typing import Any

import numpy
import torch

from frameworks import network
from frameworks.exported import Exported
from shared import pickles
from shared.contract import Job
from shared.faults import Fault

ULTRALYTICS = "ultralytics."
HOLDERS = ("ema", "model", "net", "network", "module")
"""Where training scripts put the network in a checkpoint, the averaged one first."""


def export(job: Job, path: str) -> Exported:
    """Write the checkpoint's network to `path` as ONNX.

    Raises:
        Fault: pickle-refused; model-format where there is no network in the checkpoint.
    """
    file, trusted = job.source.files["model"], job.config["trust_pickle"]
    if not trusted:
        pickles.check(file)
    names = pickles.checkpoint_globals(file)
    register_torchvision()
    if any(name.startswith(ULTRALYTICS) for name in names):
        # read when it is imported: its loader then asks PyTorch for the restricted unpickler
        os.environ["ULTRALYTICS_SAFE_LOAD"] = str(not trusted).lower()
        from frameworks import yolo

        return yolo.export(job, path)
    return network.export(job, found_network(load(file, names, trusted)), path)


NUMPY_DTYPE = "numpy.dtype"
RESTRICTED = "safe_globals"
"""What a PyTorch has whose restricted unpickler takes a list; that of 2.4 does not."""


def load(file: str, names: list[str], trusted: bool) -> Any:
    """The checkpoint's object; unless trusted, by PyTorch's restricted unpickler with these names alone."""
    if trusted or not hasattr(torch.serialization, RESTRICTED):
        return torch.load(file, map_location="cpu", weights_only=False)
    wanted = [resolve(name) for name in names]
    if NUMPY_DTYPE in names:  # makes instances of classes that no pickle names
        wanted += [kind for kind in vars(numpy.dtypes).values() if isinstance(kind, type)]
    with torch.serialization.safe_globals(wanted):
        return torch.load(file, map_location="cpu", weights_only=True)


def resolve(name: str) -> Any:
    """The object of an allowed name, under that name; Fault model-format where this environment has none."""
    module, _, attribute = name.rpartition("." if ":" not in name else ":")
    try:
        found: Any = importlib.import_module(module.replace("__builtin__", "builtins"))
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError):
        message = f"the checkpoint needs {name}, the code of its network, which is not here"
        raise Fault("model-format", message, "Export it to ONNX or TorchScript where that code is.") from None
    return found, name


def found_network(loaded: Any) -> torch.nn.Module:
    """The network in what was loaded; Fault model-format where there is none."""
    held = [loaded.get(key) for key in HOLDERS] if isinstance(loaded, dict) else [loaded]
    for each in held:
        if isinstance(each, torch.nn.Module):
            return each
    raise Fault(
        "model-format",
        "the checkpoint has weights without the network that they belong to",
        "Build the network in Python, load the weights, and save the whole network or export it to ONNX.",
    )


def register_torchvision() -> None:
    """Declare the operators that torchvision's import asks for: its own are for CUDA and not installed."""
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _LIBRARIES.append(library)


_LIBRARIES: list[Any] = []
"""Keeps declarations alive."""
