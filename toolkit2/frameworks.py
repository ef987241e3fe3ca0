"""The frameworks that models come from, as far as this environment has them: they run a source as it is."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy

from shared.contract import Source

ACTIVATION = re.compile(r"(?:relu|leaky|swish|mish|logistic|tanh)_(\d+)$")
"""OpenCV's names of a Darknet section's activation; these count from the section after it."""
SECTION = re.compile(r"\w+_(\d+)$")


class Network(NamedTuple):
    """A model in its own framework."""

    dtypes: Sequence[Any]
    """What its inputs take, as numpy types."""
    channels_last: bool
    run: Callable[[list[Any]], list[Any]]
    """One array per input, batch included -> the outputs that were asked for."""


def _tflite(source: Source, outputs: list[str]) -> Network:
    import tensorflow

    interpreter = tensorflow.lite.Interpreter(source.files["model"])
    interpreter.allocate_tensors()
    inputs, given = interpreter.get_input_details(), interpreter.get_output_details()
    named = {detail["name"]: detail for detail in given}
    wanted = [named.get(name, detail) for name, detail in zip(outputs, given, strict=True)]

    def run(sample: list[Any]) -> list[Any]:
        for detail, array in zip(inputs, sample, strict=True):
            interpreter.set_tensor(detail["index"], array)
        interpreter.invoke()
        return [interpreter.get_tensor(detail["index"]) for detail in wanted]

    return Network([detail["dtype"] for detail in inputs], True, run)


def _tensorflow(source: Source, outputs: list[str]) -> Network:
    import tensorflow

    v1 = tensorflow.compat.v1
    definition = v1.GraphDef()
    definition.ParseFromString(Path(source.files["model"]).read_bytes())
    graph = tensorflow.Graph()
    with graph.as_default():
        v1.import_graph_def(definition, name="")
    inputs = [graph.get_tensor_by_name(_tensor(name)) for name in source.inputs]
    session = v1.Session(graph=graph)

    def run(sample: list[Any]) -> list[Any]:
        made: list[Any] = session.run(
            [_tensor(name) for name in outputs], dict(zip(inputs, sample, strict=True))
        )
        return made

    return Network([each.dtype.as_numpy_dtype for each in inputs], True, run)


def _tensor(name: str) -> str:
    return name if ":" in name else name + ":0"


def _torchscript(source: Source, _outputs: list[str]) -> Network:
    import torch

    module = torch.jit.load(source.files["model"], map_location="cpu").eval()

    def run(sample: list[Any]) -> list[Any]:
        with torch.no_grad():
            return _flat(module(*map(torch.from_numpy, sample)))

    return Network([numpy.float32] * len(source.shapes), False, run)


def _flat(output: Any) -> list[Any]:
    """The tensors of an output in the order of the graph, nested as it may be."""
    if isinstance(output, dict):
        output = list(output.values())
    if isinstance(output, (list, tuple)):
        return [tensor for each in output for tensor in _flat(each)]
    return [output.numpy()]


def _caffe(source: Source, outputs: list[str]) -> Network:
    prototxt = source.files["prototxt"]
    network = cv2.dnn.readNetFromCaffe(prototxt, source.files["caffemodel"])
    makers = _makers(Path(prototxt).read_text(encoding="utf-8", errors="replace"))
    return _opencv(network, source, [makers.get(name, name) for name in outputs])


def _makers(prototxt: str) -> dict[str, str]:
    """Blob -> the layer that has the last word on it; what works in place has the blob for input, too."""
    makers = {}
    for layer in re.split(r"^\s*layers?\s*\{", prototxt, flags=re.MULTILINE)[1:]:
        named = re.search(r"""\bname\s*:\s*["'](.*?)["']""", layer)
        for blob in re.findall(r"""\btop\s*:\s*["'](.*?)["']""", layer):
            makers[blob] = named[1] if named else blob
    return makers


def _darknet(source: Source, outputs: list[str]) -> Network:
    network = cv2.dnn.readNetFromDarknet(source.files["cfg"], source.files["weights"])
    last: dict[int, str] = {}
    for layer in network.getLayerNames():
        activation, section = ACTIVATION.match(layer), SECTION.match(layer)
        if activation:
            last[int(activation[1])] = layer
        elif section:
            last[int(section[1]) + 1] = layer
    # the toolkit's names begin with the section's number, which counts [net] as 0
    unnamed = source._replace(inputs=[])
    return _opencv(network, unnamed, [last[int(name.partition("_")[0])] for name in outputs])


def _opencv(network: Any, source: Source, outputs: list[str]) -> Network:
    network.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    network.enableFusion(False)  # what it fuses has no outputs of its own
    names = source.inputs or [""]

    def run(sample: list[Any]) -> list[Any]:
        for name, array in zip(names, sample, strict=True):
            network.setInput(array, name)
        return [numpy.array(output) for output in network.forward(outputs)]

    return Network([numpy.float32] * len(names), False, run)


FRAMEWORKS: dict[str, Callable[[Source, list[str]], Network]] = {
    "tflite": _tflite,
    "tensorflow": _tensorflow,
    "torchscript": _torchscript,
    "caffe": _caffe,
    "darknet": _darknet,
}
"""Format -> what loads a source for the outputs that have these names in the exported file."""
