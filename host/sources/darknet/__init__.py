"""The Darknet bridge: a .cfg and its .weights become ONNX, the detector's decoding included."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import ModelProto


def to_onnx(cfg: Path, weights: Path) -> "ModelProto":
    """The network as ONNX, see `bridge.to_onnx`."""
    from host.sources.darknet import bridge  # who only reads a .cfg needs no onnx

    return bridge.to_onnx(cfg, weights)
