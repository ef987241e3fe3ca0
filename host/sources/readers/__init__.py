"""One reader per format: inputs, outputs, operators and size of a model, told from its files alone.

Nothing of a model is run here and no pickle is loaded. A reader refuses what is damaged or incomplete.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path

from host.sources.source import Interface

Reader = Callable[[Mapping[str, Path]], Interface]
"""From role -> file to what they tell; raises Fault with a model-* code."""


def _lazy(module: str) -> Reader:
    """The reader of a module of this package, which is imported with its libraries when first used."""

    def read(files: Mapping[str, Path]) -> Interface:
        interface: Interface = import_module(f"{__name__}.{module}").read(files)
        return interface

    return read


READERS: Mapping[str, Reader] = {
    "onnx": _lazy("onnx"),
    "tflite": _lazy("tflite"),
    "torchscript": _lazy("torchscript"),
    "caffe": _lazy("caffe"),
    "darknet": _lazy("darknet"),
    "tensorflow": _lazy("tensorflow"),
    "savedmodel": _lazy("savedmodel"),
    "tf-checkpoint": _lazy("tf_checkpoint"),
    "keras": _lazy("keras"),
    "mxnet": _lazy("mxnet"),
}
"""Format -> its reader."""
