"""PyTorch checkpoints on the host: told apart by the names that their pickle mentions, and never loaded."""

import zipfile
from pathlib import Path

from shared.faults import Fault

_LAYERS = b"torch.nn.modules."
"""The module of every layer's class: a pickled network names it, weights alone do not."""
_MOST = 64 << 20


def refuse_weights_alone(path: Path) -> None:
    """Refuse a checkpoint that holds weights without the network that they are for (a state dict).

    Raises:
        Fault: model-format for weights alone.
    """
    if _LAYERS in _pickle(path):
        return
    raise Fault(
        "model-format",
        f"{path} holds weights alone (a state dict), not the network that they are for.",
        "Build the network in Python, load these weights into it, and export it to ONNX or TorchScript; "
        "Ultralytics saves whole networks (best.pt).",
    )


def _pickle(path: Path) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            with archive.open(name) as file:
                return file.read(_MOST)
    except zipfile.BadZipFile:
        with path.open("rb") as file:
            return file.read(_MOST)
