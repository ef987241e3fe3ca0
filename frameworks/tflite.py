"""TensorFlow Lite to ONNX by tf2onnx: the way for files that the vendor's loader crashes on."""

import os
import tempfile
from collections.abc import Sequence

import onnx
import tensorflow
import tf2onnx

from frameworks import densify, nhwc
from frameworks.exported import Array, Exported
from frameworks.graphs import NEWEST_OPSET
from frameworks.order import nodes_by_name
from shared.contract import Job


def export(job: Job, path: str) -> Exported:
    """Write the model to `path` as ONNX, image inputs with their channels first."""
    with open(job.source.files["model"], "rb") as stream:
        data, made_dense = densify.dense(stream.read())
    # the plain operators: the default delegate is another implementation, with crashes of its own
    interpreter = tensorflow.lite.Interpreter(
        model_content=data,
        experimental_op_resolver_type=tensorflow.lite.experimental.OpResolverType.BUILTIN_REF,
    )
    ports = interpreter.get_input_details()
    names = [port["name"] for port in ports]
    shapes = job.source.shapes or [
        nhwc.settled(port["name"], [_length(axis) for axis in port["shape_signature"]], job.config["size"])
        for port in ports
    ]
    for port, shape in zip(ports, shapes, strict=True):
        interpreter.resize_tensor_input(port["index"], shape)
    interpreter.allocate_tensors()
    turned = [nhwc.is_image(shape) for shape in shapes]
    with tempfile.TemporaryDirectory() as scratch:
        file = os.path.join(scratch, "model.tflite")
        with open(file, "wb") as written:
            written.write(data)
        nodes_by_name()
        tf2onnx.convert.from_tflite(
            file,
            opset=min(job.config["opset"], NEWEST_OPSET),
            inputs_as_nchw=[name for name, each in zip(names, turned, strict=True) if each],
            output_path=path,
        )
    ends = [port["shape"] for port in interpreter.get_output_details()]
    _close(
        path, [nhwc.first(shape) if each else shape for shape, each in zip(shapes, turned, strict=True)], ends
    )

    def run(arrays: Sequence[Array]) -> list[Array]:
        for port, array in zip(ports, nhwc.channels_last(arrays, turned), strict=True):
            interpreter.set_tensor(port["index"], array)
        interpreter.invoke()
        return [interpreter.get_tensor(port["index"]) for port in interpreter.get_output_details()]

    notes = nhwc.notes(names, turned)
    if made_dense:
        notes.append(f"{made_dense} sparse weights were made dense")
    return Exported(run, notes=notes)


def _close(path: str, inputs: Sequence[Sequence[int]], outputs: Sequence[Sequence[int]]) -> None:
    """Give the file the shapes that the interpreter settled: tf2onnx keeps an open batch open."""
    model = onnx.load(path)
    del model.graph.value_info[:]
    ports = [*model.graph.input, *model.graph.output]
    for port, shape in zip(ports, [*inputs, *outputs], strict=True):
        axes = [onnx.TensorShapeProto.Dimension(dim_value=int(length)) for length in shape]
        port.type.tensor_type.shape.CopyFrom(onnx.TensorShapeProto(dim=axes))
    onnx.save(model, path)


def _length(axis: int) -> int | None:
    """That of an axis; TFLite writes -1 for an open one."""
    return int(axis) if axis > 0 else None
