"""Refuses weights that are not numbers: the toolkit quantises them without a word."""

import numpy as np
from onnx import ModelProto, TensorProto
from onnx.numpy_helper import to_array

from host.sources.onnx.external import tensors
from shared.faults import Fault
from shared.text import one_line

_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)

# where an infinite value is a broken weight; elsewhere it is a mask (attention) or an open bound (Clip)
_WEIGHTED = {
    *("BatchNormalization", "Conv", "ConvTranspose", "GRU", "Gemm", "InstanceNormalization", "LSTM"),
    *("LayerNormalization", "MatMul", "PRelu"),
}


def refuse_broken_weights(proto: ModelProto) -> None:
    """Refuse NaN in any constant, infinity in weights, and constants whose bytes do not match their shape.

    Raises:
        Fault: model-weights or model-invalid.
    """
    weights = {name for node in proto.graph.node if node.op_type in _WEIGHTED for name in node.input}
    for tensor in tensors(proto.graph):
        try:
            values = to_array(tensor)
        except Exception as error:  # numpy and ml_dtypes raise whatever the damaged field leads them to
            raise Fault("model-invalid", f"Tensor {tensor.name!r} is damaged: {one_line(error)}.") from error
        if tensor.data_type not in _FLOATS or np.isfinite(values).all():
            continue
        if np.isnan(values).any() or tensor.name in weights:
            what = "NaN" if np.isnan(values).any() else "infinite values"
            raise Fault("model-weights", f"Tensor {tensor.name!r} has {what} in it.")
