"""How each model format is loaded into rknn-toolkit 1.7.5, as its documentation says. All return its code.

Paths are absolute. Sizes of inputs leave the batch out and keep the order of the format.
"""

from typing import Any, Callable, Dict, List

from shared.contract import Source

PROTO = "caffe"
"""Of the two kinds of prototxt that the toolkit asks for, the one without the vendor's LSTM."""


def _onnx(rknn: Any, source: Source) -> Any:
    return rknn.load_onnx(model=source.files["model"])


def _tflite(rknn: Any, source: Source) -> Any:
    return rknn.load_tflite(model=source.files["model"])


def _keras(rknn: Any, source: Source) -> Any:
    return rknn.load_keras(model=source.files["model"])


def _caffe(rknn: Any, source: Source) -> Any:
    # without blobs the toolkit would make up weights
    return rknn.load_caffe(model=source.files["prototxt"], proto=PROTO, blobs=source.files["caffemodel"])


def _darknet(rknn: Any, source: Source) -> Any:
    return rknn.load_darknet(model=source.files["cfg"], weight=source.files["weights"])


def _tensorflow(rknn: Any, source: Source) -> Any:
    return rknn.load_tensorflow(
        tf_pb=source.files["model"],
        inputs=[_layer(name) for name in source.inputs],
        input_size_list=_sizes(source),
        outputs=[_layer(name) for name in source.outputs],
    )


def _torchscript(rknn: Any, source: Source) -> Any:
    return rknn.load_pytorch(model=source.files["model"], input_size_list=_sizes(source))


def _mxnet(rknn: Any, source: Source) -> Any:
    return rknn.load_mxnet(
        symbol=source.files["symbol"], params=source.files["params"], input_size_list=_sizes(source)
    )


def _sizes(source: Source) -> List[List[int]]:
    return [shape[1:] for shape in source.shapes]


def _layer(tensor: str) -> str:
    """The toolkit takes names of layers: those of their first tensors, without its number."""
    return tensor[: -len(":0")] if tensor.endswith(":0") else tensor


LOADERS: Dict[str, Callable[[Any, Source], Any]] = {
    "onnx": _onnx,
    "tflite": _tflite,
    "keras": _keras,
    "caffe": _caffe,
    "darknet": _darknet,
    "tensorflow": _tensorflow,
    "torchscript": _torchscript,
    "mxnet": _mxnet,
}
"""Format -> what calls the toolkit."""
IMPORTED_FIRST = {"mxnet": "mxnet"}
"""Format -> the module that has to come before all others: MXNet crashes after TensorFlow, on Python 3.8."""
