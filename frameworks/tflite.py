"""TensorFlow Lite to ONNX by tf2onnx: the way for files that the vendor's loader crashes on."""

from collections.abc import Sequence

import tensorflow
import tf2onnx

from frameworks import nhwc
from frameworks.exported import Array, Exported
from frameworks.graphs import NEWEST_OPSET
from shared.contract import Job


def export(job: Job, path: str) -> Exported:
    """Write the model to `path` as ONNX, image inputs with their channels first."""
    file = job.source.files["model"]
    # the plain operators: with the default delegate a damaged file may end the process
    interpreter = tensorflow.lite.Interpreter(
        file, experimental_op_resolver_type=tensorflow.lite.experimental.OpResolverType.BUILTIN_REF
    )
    interpreter.allocate_tensors()
    ports = interpreter.get_input_details()
    names = [port["name"] for port in ports]
    turned = [nhwc.is_image([int(length) for length in port["shape"]]) for port in ports]
    tf2onnx.convert.from_tflite(
        file,
        opset=min(job.config["opset"], NEWEST_OPSET),
        inputs_as_nchw=[name for name, each in zip(names, turned, strict=True) if each],
        output_path=path,
    )

    def run(arrays: Sequence[Array]) -> list[Array]:
        for port, array in zip(ports, nhwc.channels_last(arrays, turned), strict=True):
            interpreter.set_tensor(port["index"], array)
        interpreter.invoke()
        return [interpreter.get_tensor(port["index"]) for port in interpreter.get_output_details()]

    return Exported(run, notes=nhwc.notes(names, turned))
