"""Reads a TensorFlow Lite model.

The `tflite` package knows the schema but trusts its input. So the counts that loops run over are checked
against the file's size first, and whatever else its look-ups raise means a damaged file.
"""

import struct
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import tflite

from host.sources.readers.damage import damaged
from host.sources.source import Interface, Port

TITLE = "a TensorFlow Lite model"
_DAMAGE = (struct.error, IndexError, ValueError, TypeError, AttributeError, OverflowError, MemoryError)
"""What look-ups in a damaged buffer end in; a missing table is None, hence AttributeError."""
_DTYPES = {
    number: {"string": "str"}.get(name.lower(), name.lower())
    for name, number in vars(tflite.TensorType).items()
    if not name.startswith("_")
}
_OPERATORS = {number: name for name, number in vars(tflite.BuiltinOperator).items() if name[0] != "_"}
_WEIGHTS = ("float32", "float16", "int8", "uint8", "int4")
QUANTIZED = ("int8", "uint8", "int16")
"""Types of activations in a model that its framework quantized."""


_NONE = -1
"""In an operator's inputs, one that it does without."""


class _Damage(Exception):
    """The file contradicts itself."""


def read(files: Mapping[str, Path]) -> Interface:
    """What a .tflite file tells of its main graph. Raises Fault model-invalid."""
    path = files["model"]
    try:
        return _interface(path.read_bytes())
    except _Damage as damage:
        raise damaged(path, TITLE, str(damage)) from damage
    except _DAMAGE as error:
        raise damaged(path, TITLE) from error


def _interface(data: bytes) -> Interface:
    model = tflite.Model.GetRootAs(data, 0)
    if not tflite.Model.ModelBufferHasIdentifier(data, 0):
        raise _Damage("it lacks the mark TFL3")
    if not model.SubgraphsLength():
        raise _Damage("it has no graph")
    graph = model.Subgraphs(0)
    limit = len(data) // 4  # every entry of the vectors below takes four bytes at least
    tensors = list(_entries(graph.Tensors, graph.TensorsLength(), limit))
    codes = [_operator(code) for code in _entries(model.OperatorCodes, model.OperatorCodesLength(), limit)]
    nodes = list(_entries(graph.Operators, graph.OperatorsLength(), limit))
    used = [codes[node.OpcodeIndex()] for node in nodes]
    inputs = [_at(tensors, number) for number in _entries(graph.Inputs, graph.InputsLength(), limit)]
    outputs = [_at(tensors, number) for number in _entries(graph.Outputs, graph.OutputsLength(), limit)]
    if not inputs or not outputs or not nodes:
        raise _Damage("it has no input, no output or no operators")
    for node in nodes:
        for name, length in ((node.Inputs, node.InputsLength()), (node.Outputs, node.OutputsLength())):
            for number in _entries(name, length, limit):
                if number != _NONE:
                    _at(tensors, number)
    _check_buffers(model, tensors, len(data))
    return Interface(
        version=f"schema {model.Version()}",
        inputs=tuple(map(_port, inputs)),
        outputs=tuple(map(_port, outputs)),
        operators=Counter(name for name, _ in used),
        parameters=sum(_stored(model, tensor) for tensor in tensors),
        custom=tuple(sorted({name for name, is_custom in used if is_custom})),
        quantized=_quantized([tensors[node.Outputs(0)] for node in nodes if node.OutputsLength()]),
    )


def _quantized(made: Sequence[Any]) -> bool:
    """Whether most of what operators make are integers."""
    return sum(_DTYPES.get(tensor.Type()) in QUANTIZED for tensor in made) > len(made) // 2


def _entries(entry: Callable[[int], Any], length: int, limit: int) -> Iterator[Any]:
    if length > limit:
        raise _Damage(f"it tells of {length} entries, more than its size has room for")
    return map(entry, range(length))


def _at(tensors: list[Any], number: int) -> Any:
    if not 0 <= number < len(tensors):
        raise _Damage(f"it names tensor {number} of {len(tensors)}")
    return tensors[number]


def _operator(code: Any) -> tuple[str, bool]:
    """Name of an operator, and whether it is custom."""
    # older files have the code in a field of one byte, where newer ones put 127 if it does not fit
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    if number == tflite.BuiltinOperator.CUSTOM:
        return (code.CustomCode() or b"CUSTOM").decode(), True
    return _OPERATORS.get(number, f"operator {number}"), False


def _port(tensor: Any) -> Port:
    shape = _shape(tensor)
    signature = [
        tensor.ShapeSignature(axis) for axis in range(min(tensor.ShapeSignatureLength(), len(shape)))
    ]
    lengths = tuple(
        "?" if length <= 0 or (axis < len(signature) and signature[axis] < 0) else length
        for axis, length in enumerate(shape)
    )
    dtype = _DTYPES.get(tensor.Type(), "?")
    return Port((tensor.Name() or b"").decode(), lengths, dtype, channels_last=len(lengths) == 4)


def _shape(tensor: Any) -> tuple[int, ...]:
    if tensor.ShapeLength() > 16:
        raise _Damage(f"a tensor has {tensor.ShapeLength()} dimensions")
    return tuple(tensor.Shape(axis) for axis in range(tensor.ShapeLength()))


def _check_buffers(model: Any, tensors: list[Any], size: int) -> None:
    """Refuse tensors whose stored values lie outside the file."""
    for tensor in tensors:
        if tensor.Buffer() >= model.BuffersLength():
            raise _Damage(f"tensor {(tensor.Name() or b'').decode()!r} has no buffer")
        buffer = model.Buffers(tensor.Buffer())
        # the vector's last byte: reading it fails where it lies outside
        if buffer.DataLength():
            buffer.Data(buffer.DataLength() - 1)
        if buffer.Offset() > 1 and buffer.Offset() + buffer.Size() > size:
            raise _Damage("weights lie outside the file")


def _stored(model: Any, tensor: Any) -> int:
    """How many numbers of weights a tensor holds."""
    buffer = model.Buffers(tensor.Buffer())
    held = buffer.DataLength() or buffer.Offset() > 1
    return prod(_shape(tensor)) if held and _DTYPES.get(tensor.Type()) in _WEIGHTS else 0
