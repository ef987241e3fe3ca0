"""How each model format is loaded into rknn-toolkit2. All return its code; some failures raise."""

from collections.abc import Callable
from typing import Any

from shared.contract import Source

CHANNELS_LAST = ("tensorflow", "tflite")
"""Formats whose images are (1, height, width, channels), outputs included."""


def _onnx(rknn: Any, source: Source) -> Any:
    return rknn.load_onnx(model=source.files["model"])


def _tflite(rknn: Any, source: Source) -> Any:
    return rknn.load_tflite(model=source.files["model"])


def _caffe(rknn: Any, source: Source) -> Any:
    # without blobs the toolkit would make up weights and say nothing
    return rknn.load_caffe(model=source.files["prototxt"], blobs=source.files["caffemodel"])


def _darknet(rknn: Any, source: Source) -> Any:
    return rknn.load_darknet(model=source.files["cfg"], weight=source.files["weights"])


def _tensorflow(rknn: Any, source: Source) -> Any:
    return rknn.load_tensorflow(
        tf_pb=source.files["model"],
        inputs=source.inputs,
        input_size_list=source.shapes,
        outputs=source.outputs,
    )


def _torchscript(rknn: Any, source: Source) -> Any:
    return rknn.load_pytorch(model=source.files["model"], input_size_list=source.shapes)


LOADERS: dict[str, Callable[[Any, Source], Any]] = {
    "onnx": _onnx,
    "tflite": _tflite,
    "caffe": _caffe,
    "darknet": _darknet,
    "tensorflow": _tensorflow,
    "torchscript": _torchscript,
}
"""Format -> what calls the toolkit."""
