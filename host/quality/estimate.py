"""What a model answers when every tensor is rounded to 8 bits: an estimate where a toolkit has no simulator.

ONNX Runtime quantizes the graph by layer, asymmetric and unsigned, with ranges from calibration samples, as
the toolkit's documentation describes it. The toolkit's own arithmetic, the layers it fuses and its ranges are
not known, so this tells dead outputs from live ones, and not the last digit.

It runs in a process of its own, which may take too long, take too much memory or crash without harm:

    python -m host.quality.estimate FOLDER MEMORY_BYTES

reads from FOLDER the model, and calibration samples and inputs (`write`: one array per input of the model,
samples stacked), and writes the answers (one array per output).
"""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto
from onnx.numpy_helper import from_array, to_array
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from host.sources.onnx.external import tensors
from host.sources.onnx.trial import session
from shared.text import one_line

MODEL = "model.onnx"
CALIBRATION = "calibration.npz"
INPUTS = "inputs.npz"
OUTPUTS = "outputs.npz"

SAMPLES = 8
"""Calibration samples: with 8 pages the example's cosine is that with all 20, with one it is 0.001 less, and
one is enough to see a dead output. Each costs a run of a graph that keeps all its tensors."""

Array = NDArray[Any]


def write(path: Path, arrays: Sequence[Array]) -> None:
    """Write arrays to an .npz, by their position: names of tensors are no file names."""
    np.savez(path, *arrays)


def read(path: Path) -> list[Array]:
    """The arrays that `write` wrote."""
    with np.load(path) as stored:
        return [stored[f"arr_{number}"] for number in range(len(stored.files))]


def estimate(folder: Path) -> None:
    """Quantize the model in `folder`, run it on the inputs there, write the answers: [N, *output shape]."""
    # constants are computed and normalisations become part of convolutions, as in a toolkit
    folded, quantized = folder / "folded.onnx", folder / "quantized.onnx"
    model = _widened(onnx.load(folder / MODEL)).SerializeToString()
    folding = session(model, graph_optimization_level=_BASIC, optimized_model_filepath=str(folded))
    names = [each.name for each in folding.get_inputs()]
    quantize_static(
        folded,
        quantized,
        _Reader(_feeds(names, folder / CALIBRATION)),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=sorted({node.op_type for node in onnx.load(folded).graph.node}),
        per_channel=False,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QUInt8,
        calibrate_method=CalibrationMethod.MinMax,
        extra_options={
            "ActivationSymmetric": False,
            "WeightSymmetric": False,
            "ForceQuantizeNoInputCheck": True,  # what only moves values has a scale, too
        },
    )
    # operators compute in float and are rounded: fused integer kernels differ from processor to processor
    rounding = session(str(quantized), graph_optimization_level=_NONE)
    answers = [rounding.run(None, feed) for feed in _feeds(names, folder / INPUTS)]
    write(folder / OUTPUTS, [np.stack(each) for each in zip(*answers, strict=True)])


_BASIC = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
_NONE = ort.GraphOptimizationLevel.ORT_DISABLE_ALL


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, feeds: Sequence[dict[str, Array]]) -> None:
        self._feeds = iter(feeds)

    def get_next(self) -> dict[str, Array] | None:
        """The next sample, as ONNX Runtime asks for it."""
        return next(self._feeds, None)


def _widened(proto: ModelProto) -> ModelProto:
    """The model in float32 where it is in float16, for which ONNX Runtime has no quantization."""
    graph = proto.graph
    for tensor in tensors(graph):
        if tensor.data_type == TensorProto.FLOAT16:
            tensor.CopyFrom(from_array(to_array(tensor).astype(np.float32), tensor.name))
    for value in (*graph.input, *graph.value_info, *graph.output):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT16:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    for entry in (entry for node in graph.node for entry in node.attribute):
        if (entry.name, entry.i) == ("to", TensorProto.FLOAT16):
            entry.i = TensorProto.FLOAT
    return proto


def _feeds(names: Sequence[str], path: Path) -> list[dict[str, Array]]:
    return [dict(zip(names, row, strict=True)) for row in zip(*read(path), strict=True)]


def _limit(memory_bytes: int) -> None:
    """Let allocations above the limit fail, where the system can do that."""
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def main(argv: list[str]) -> int:
    """The command line above; the last line of stderr is the cause of a failure."""
    logging.disable(logging.WARNING)
    ort.set_default_logger_severity(4)
    try:
        _limit(int(argv[1]))
        estimate(Path(argv[0]))
    except Exception as error:  # onnxruntime's exceptions share no base class of their own
        print(one_line(f"{type(error).__name__}: {error}"), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
