"""TFLite files with sparse weights, made dense: neither tf2onnx nor the vendor's loader reads them otherwise.

Such a file keeps the values that are not zero, and an operator DENSIFY writes the rest when the model runs.
Here TFLite's own interpreter runs it once, and what it wrote takes the operator's place.
"""

import flatbuffers
import numpy
import tensorflow
from tensorflow.lite.python import schema_py_generated as schema

IDENTIFIER = b"TFL3"
DENSIFY = schema.BuiltinOperator.DENSIFY


def dense(data: bytes) -> tuple[bytes, int]:
    """The model without DENSIFY operators, and how many there were; the same bytes where there were none."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    graph = model.subgraphs[0]
    found = [each for each in graph.operators if _code(model, each) == DENSIFY]
    if not found:
        return data, 0
    values = _values(data, [int(each.outputs[0]) for each in found])
    graph.operators = [each for each in graph.operators if _code(model, each) != DENSIFY]
    for each in found:
        sparse, written = graph.tensors[each.inputs[0]], graph.tensors[each.outputs[0]]
        sparse.buffer, sparse.sparsity = 0, None  # the first buffer is always empty
        buffer = schema.BufferT()
        buffer.data = numpy.frombuffer(values[int(each.outputs[0])].tobytes(), numpy.uint8)
        written.buffer = len(model.buffers)
        model.buffers.append(buffer)
    builder = flatbuffers.Builder(len(data))
    builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
    return bytes(builder.Output()), len(found)


def _values(data: bytes, tensors: list[int]) -> dict[int, numpy.ndarray]:
    """What the tensors hold after a run; the inputs do not matter to them."""
    interpreter = tensorflow.lite.Interpreter(
        model_content=data,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=tensorflow.lite.experimental.OpResolverType.BUILTIN_REF,
    )
    interpreter.allocate_tensors()
    interpreter.invoke()
    return {each: interpreter.get_tensor(each).copy() for each in tensors}


def _code(model: schema.ModelT, operator: schema.OperatorT) -> int:
    code = model.operatorCodes[operator.opcodeIndex]
    return int(max(code.builtinCode, code.deprecatedBuiltinCode))
