"""Which of the protobuf formats a file is, by the numbers and kinds of its first fields.

ONNX, Caffe and TensorFlow files carry no magic. Their messages differ in what fields they have, which shows
in the first kilobytes without any schema: https://protobuf.dev/programming-guides/encoding
"""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}
_MOST_FIELDS = 64
_IDENTIFIER = re.compile(rb"[\w.][\w>.:/\\+-]*")


class Field(NamedTuple):
    """One field of a message."""

    number: int
    kind: int
    content: bytes
    """Of a string or message, as far as it was read; else empty."""


def message(data: bytes) -> tuple[Field, ...]:
    """The first fields of a message whose end may be missing; empty for what is none."""
    fields: list[Field] = []
    position = 0
    while position < len(data) and len(fields) < _MOST_FIELDS:
        key, position = _varint(data, position)
        if key < 0 or position > len(data):
            break
        number, kind = key >> 3, key & 7
        content = b""
        if not 0 < number < 1 << 29:
            return ()
        if kind == _BYTES:
            length, position = _varint(data, position)
            content = data[position : position + max(length, 0)]
            position += length
        elif kind == _VARINT:
            _, position = _varint(data, position)
        elif kind in _FIXED:
            position += _FIXED[kind]
        else:
            return ()
        fields.append(Field(number, kind, content))
    return tuple(fields)


def format_of(data: bytes) -> str:
    """onnx, caffe, savedmodel, tf-checkpoint (its .meta), tensorflow or coreml; empty for none of them.

    Args:
        data: the file's first kilobytes.
    """
    fields = message(data)
    return next((name for name, fits in _FORMATS.items() if fields and fits(fields)), "")


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """A number and the position behind it; -1 and beyond the end where it is cut off or too long."""
    value = 0
    for shift in range(0, 64, 7):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
    return -1, len(data) + 1


def _within(fields: tuple[Field, ...], known: Mapping[int, int]) -> bool:
    """Whether there are fields, and only such as `known` has, number -> kind."""
    return bool(fields) and all(known.get(field.number) == field.kind for field in fields)


def _first(fields: tuple[Field, ...], number: int) -> bytes:
    return next((field.content for field in fields if field.number == number), b"")


def _is_name(content: bytes) -> bool:
    return bool(_IDENTIFIER.fullmatch(content[:256]))


def _all(kind: int, *numbers: int) -> dict[int, int]:
    return dict.fromkeys(numbers, kind)


# field numbers from each project's own .proto file
_ONNX_MODEL = {**_all(_BYTES, 2, 3, 4, 6, 7, 8, 14, *range(20, 40)), **_all(_VARINT, 1, 5)}
_ONNX_GRAPH = _all(_BYTES, 1, 2, 5, 10, 11, 12, 13, 14, 15, 16)
_CAFFE_NET = {**_all(_BYTES, 1, 2, 3, 6, 8, 100), **_all(_VARINT, 4, 5, 7)}
_TENSORFLOW_GRAPH = {**_all(_BYTES, 1, 2, 4, 5), **_all(_VARINT, 3)}
_TENSORFLOW_NODE = _all(_BYTES, 1, 2, 3, 4, 5, 6, 7)
_TENSORFLOW_META = _all(_BYTES, 1, 2, 3, 4, 5, 6, 7)
_TENSORFLOW_META_INFO = {**_all(_BYTES, 1, 2, 3, 4, 5, 6, 8), **_all(_VARINT, 7)}
_SAVED_MODEL = {1: _VARINT, 2: _BYTES}


def _is_onnx(fields: tuple[Field, ...]) -> bool:
    return (
        _within(fields, _ONNX_MODEL)
        and any(field.number == 7 for field in fields)
        and _within(message(_first(fields, 7)), _ONNX_GRAPH)
    )


def _is_node(content: bytes) -> bool:
    """Whether it is a node of TensorFlow: its name, its operator."""
    fields = message(content)
    return _within(fields, _TENSORFLOW_NODE) and all(_is_name(_first(fields, number)) for number in (1, 2))


def _is_graph(fields: tuple[Field, ...]) -> bool:
    return _within(fields, _TENSORFLOW_GRAPH) and _is_node(_first(fields, 1))


def _is_meta(fields: tuple[Field, ...]) -> bool:
    """Whether it is a MetaGraphDef: about the version and its operators, then the graph."""
    about = message(_first(fields, 1))
    operators = message(_first(about, 2))
    return (
        _within(fields, _TENSORFLOW_META)
        and _within(about, _TENSORFLOW_META_INFO)
        and (
            bool(re.match(rb"\d+\.\d+|unknown", _first(about, 5)))
            or (_within(operators, {1: _BYTES}) and _is_name(_first(message(_first(operators, 1)), 1)))
        )
    )


def _is_saved_model(fields: tuple[Field, ...]) -> bool:
    return _within(fields, _SAVED_MODEL) and _is_meta(message(_first(fields, 2)))


def _is_caffe(fields: tuple[Field, ...]) -> bool:
    old, new = message(_first(fields, 2)), message(_first(fields, 100))
    return _within(fields, _CAFFE_NET) and (
        all(_first(new, number) for number in (1, 2)) or (bool(_first(old, 4)) and (5, _VARINT) in _keys(old))
    )


def _is_core_ml(fields: tuple[Field, ...]) -> bool:
    return fields[0][:2] == (1, _VARINT) and any(200 <= field.number < 4000 for field in fields)


def _keys(fields: tuple[Field, ...]) -> set[tuple[int, int]]:
    return {(field.number, field.kind) for field in fields}


_FORMATS: dict[str, Callable[[tuple[Field, ...]], bool]] = {
    "onnx": _is_onnx,
    "savedmodel": _is_saved_model,
    "tf-checkpoint": _is_meta,
    "tensorflow": _is_graph,
    "caffe": _is_caffe,
    "coreml": _is_core_ml,
}
