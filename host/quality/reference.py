"""What the float model itself answers: ONNX Runtime on the images that calibration did not see."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto
from onnx.helper import tensor_dtype_to_np_dtype

from host.sources.onnx.interface import graph_inputs, shape_text, static_shape
from host.sources.onnx.trial import session
from shared.faults import Fault
from shared.text import one_line


def normalise(images: NDArray[np.uint8], mean: Sequence[float], std: Sequence[float]) -> NDArray[np.float32]:
    """Images [K, H, W, C] in 0..255 -> (pixel - mean) / std as [K, C, H, W]; the .rknn does it itself."""
    scaled = (images - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2), dtype=np.float32)


def reference_outputs(proto: ModelProto, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Run the model on K items, one by one.

    Args:
        proto: the model, its inputs static.
        inputs: for every input K items stacked, [K, *shape]; the batch dimension may be left out.

    Returns:
        Every output's K answers stacked, [K, *output_shape], by name in graph order.

    Raises:
        Fault: model-shape when an item does not fit its input, model-op when ONNX Runtime refuses the model.
    """
    count = min(len(items) for items in inputs.values())
    try:
        running = session(proto.SerializeToString())
        answers = [running.run(None, _feed(proto, inputs, index)) for index in range(count)]
    except Fault:
        raise
    except Exception as error:  # onnxruntime's exceptions share no base class of their own
        cause = one_line(error)
        raise Fault("model-op", f"ONNX Runtime cannot run the model to compare with: {cause}") from error
    names = [value.name for value in proto.graph.output]
    return {name: np.stack(stacked) for name, stacked in zip(names, zip(*answers, strict=True), strict=True)}


def _feed(proto: ModelProto, inputs: Mapping[str, NDArray[Any]], index: int) -> dict[str, NDArray[Any]]:
    feed = {}
    for value in graph_inputs(proto):
        item, shape = inputs[value.name][index], static_shape(value)
        if item.size != np.prod(shape):
            raise Fault(
                "model-shape",
                f"Input {value.name!r} takes {shape_text(shape)}, but the data is {shape_text(item.shape)}.",
            )
        dtype = tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        feed[value.name] = np.ascontiguousarray(item.reshape(shape), dtype=dtype)
    return feed
