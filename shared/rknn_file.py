"""What an .rknn file says about itself, read without toolkit or board.

Both formats of rknn-toolkit2 2.2.0 to 2.5.0 share one frame: a 64-byte header (magic, format, payload
length), the payload, and a JSON description. Format 6 has a FlatBuffer as payload; the "mini" format of the
small chips ends its payload with one whose fields are numbered differently. Found by comparing files of all
11 chips.
"""

import ast
import json
import re
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from shared import flatbuffer
from shared.faults import Fault
from shared.flatbuffer import Malformed, Table

MAGIC = b"RKNN\0\0\0\0"
HEADER = 64

# the toolkit numbers element types as ONNX does (TensorProto.DataType)
DTYPES: Dict[int, str] = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    16: "bfloat16",
}

# how the compiler's tables call the values of NATIVE_LAYOUT; 0 is UNDEFINED there
NATIVE_LAYOUTS: Dict[int, str] = {2: "NCHW", 64: "NC1HWC2"}


class Numbers(NamedTuple):
    """The FlatBuffer field numbers in which the formats differ."""

    version: int
    platform: int
    framework: int
    custom_string: int
    layouts: Tuple[int, ...]  # root: JSON text per direction
    scale: int  # tensor
    zero_point: int  # tensor
    input_patches: int  # subgraph: register patches for data in the chip's own layout
    converting_patches: int  # subgraph: register patches for data the chip converts


FORMATS: Dict[int, Numbers] = {
    6: Numbers(7, 8, 9, 11, (12, 13), 10, 11, 8, 9),
    0x1004: Numbers(5, 6, 7, 8, (), 6, 7, 6, 7),
}
MINI = 0x1004

# field numbers that both formats share
TARGET, SUBGRAPHS, DESCRIPTION = 1, 2, 3  # root
TENSORS, INPUTS, OUTPUTS = 0, 2, 3  # subgraph
DTYPE, NATIVE_LAYOUT, NATIVE_SHAPE, SHAPE, NAME = 0, 1, 3, 4, 5  # tensor


class Tensor(NamedTuple):
    """An input or output of the model.

    shape is in the order of the source model; layout is how the runtime takes or gives the data (None when
    the file does not say). scale and zero_point are None unless the tensor is quantized:
    real = (stored - zero_point) * scale. mean and std are those of `rknn.config`, None on outputs.
    native_layout and native_shape are how the NPU itself has the data, which zero-copy programs see: in
    NC1HWC2, channel c lies in block c // C2 at place c % C2.
    """

    name: str
    shape: List[int]
    dtype: str
    layout: Optional[str]
    scale: Optional[float]
    zero_point: Optional[int]
    mean: Optional[List[float]]
    std: Optional[List[float]]
    native_layout: Optional[str]
    native_shape: List[int]


class RknnFile(NamedTuple):
    """The facts that a .rknn file holds about itself; size is in bytes."""

    format: int
    size: int
    platform: str
    target: str
    framework: str
    toolkit_version: str
    compiler_version: str
    custom_string: Optional[str]
    inputs: List[Tensor]
    outputs: List[Tensor]

    def to_json(self) -> Dict[str, Any]:
        """A JSON object with the same names."""
        facts: Dict[str, Any] = dict(self._asdict())
        facts["inputs"] = [dict(tensor._asdict()) for tensor in self.inputs]
        facts["outputs"] = [dict(tensor._asdict()) for tensor in self.outputs]
        return facts


class Frame(NamedTuple):
    """The parts of a file: the FlatBuffer's root table and its position, and the JSON description."""

    format: int
    numbers: Numbers
    root: Table
    offset: int
    description: Dict[str, Any]


def read(path: str) -> RknnFile:
    """What the file at `path` says about itself.

    Raises:
        Fault: rknn-invalid when the file is missing, truncated, damaged or of an unknown format.
    """
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise Fault("rknn-invalid", "%s cannot be read: %s." % (path, error.strerror or error)) from error
    try:
        return parse(data)
    except ValueError as error:
        raise Fault("rknn-invalid", "%s is not a complete .rknn file: %s." % (path, error)) from error


def parse(data: bytes) -> RknnFile:
    """What the bytes of an .rknn file say about themselves; ValueError when they are damaged."""
    frame = split(data)
    numbers, root = frame.numbers, frame.root
    version = re.match(r"(.+?)\(compiler version: (.+)\)$", _text(root, numbers.version, "version"))
    if version is None:
        raise Malformed("it names no toolkit and compiler version")
    platform = _text(root, numbers.platform, "chip")
    if [platform] != frame.description.get("target_platform"):
        raise Malformed("its two descriptions name different chips")
    subgraphs = root.tables(SUBGRAPHS)
    if not subgraphs:
        raise Malformed("it holds no graph")
    layouts = _layouts(root, numbers)
    asked = _asked(root.text(DESCRIPTION) or "")
    return RknnFile(
        format=frame.format,
        size=len(data),
        platform=platform,
        target=_text(root, TARGET, "NPU"),
        framework=_text(root, numbers.framework, "framework"),
        toolkit_version=version.group(1),
        compiler_version=version.group(2),
        custom_string=root.text(numbers.custom_string) or None,
        inputs=_tensors(subgraphs[0], INPUTS, numbers, layouts, asked),
        outputs=_tensors(subgraphs[0], OUTPUTS, numbers, layouts, {}),
    )


def split(data: bytes) -> Frame:
    """The parts of an .rknn file; ValueError when they do not fill it exactly."""
    if data[: len(MAGIC)] != MAGIC:
        raise Malformed("it does not begin with the .rknn signature" if data else "it is empty")
    number, length = flatbuffer.unpack("QQ", data, len(MAGIC))
    if number not in FORMATS:
        raise Malformed("format 0x%x is not known" % number)
    end = HEADER + length
    if end + 8 > len(data):
        raise Malformed("it is truncated")
    (json_length,) = flatbuffer.unpack("Q", data, end)
    if end + 8 + json_length != len(data):
        raise Malformed("its length is %d bytes, its header asks for %d" % (len(data), end + 8 + json_length))
    description = _json(data[end + 8 :].decode("utf-8"))
    offset = HEADER
    if number == MINI:
        offset = end - int(flatbuffer.unpack("I", data, HEADER)[0])
    if offset < HEADER:
        raise Malformed("its model lies outside the file")
    return Frame(number, FORMATS[number], flatbuffer.root(data[offset:end]), offset, description)


def _text(table: Table, number: int, what: str) -> str:
    text = table.text(number)
    if not text:
        raise Malformed("it names no %s" % what)
    return text


def _json(text: str) -> Dict[str, Any]:
    try:
        value = json.loads(text)
    except RecursionError:
        value = None
    if not isinstance(value, dict):
        raise Malformed("its JSON description is damaged")
    return value


def _layouts(root: Table, numbers: Numbers) -> Dict[str, str]:
    """Tensor name -> layout, from the texts `{"image": {"dtype": "int8", "layout": "NHWC"}}`."""
    layouts: Dict[str, str] = {}
    for number in numbers.layouts:
        for name, facts in _json(_text(root, number, "layout")).items():
            layout = facts.get("layout") if isinstance(facts, dict) else None
            if isinstance(layout, str) and layout != "UNDEFINED":
                layouts[name] = layout
    return layouts


def _asked(description: str) -> Dict[str, Any]:
    """Tensor name -> what `rknn.config` asked for, from a Python literal that may hold nan (then nothing)."""
    try:
        attributes = ast.literal_eval(description)["attrs"]
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError):
        return {}
    return attributes if isinstance(attributes, dict) else {}


def _tensors(
    subgraph: Table, direction: int, numbers: Numbers, layouts: Dict[str, str], asked: Dict[str, Any]
) -> List[Tensor]:
    every = subgraph.tables(TENSORS)
    indices = subgraph.ints(direction)
    if not indices or len(set(indices)) != len(indices) or not all(0 <= i < len(every) for i in indices):
        raise Malformed("its inputs or outputs are damaged")
    return [_tensor(every[i], numbers, layouts, asked) for i in indices]


def _tensor(table: Table, numbers: Numbers, layouts: Dict[str, str], asked: Dict[str, Any]) -> Tensor:
    name = _text(table, NAME, "tensor")
    scale, zero_point = table.floats(numbers.scale), table.ints(numbers.zero_point)
    dtype = table.byte(DTYPE)
    if dtype not in DTYPES:
        raise Malformed("tensor %s has the unknown element type %d" % (name, dtype))
    wanted = asked.get(name)
    return Tensor(
        name=name,
        shape=table.ints(SHAPE),
        dtype=DTYPES[dtype],
        layout=layouts.get(name),
        scale=scale[0] if scale else None,
        zero_point=zero_point[0] if zero_point else None,
        mean=_channels(wanted, "mean"),
        std=_channels(wanted, "std"),
        native_layout=NATIVE_LAYOUTS.get(table.byte(NATIVE_LAYOUT)),
        native_shape=table.ints(NATIVE_SHAPE),
    )


def _channels(wanted: Any, key: str) -> Optional[List[float]]:
    values = wanted.get(key) if isinstance(wanted, dict) else None
    if not isinstance(values, list) or not all(isinstance(value, (int, float)) for value in values):
        return None
    return [float(value) for value in values]
