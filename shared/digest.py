"""A digest that is the same for every correct build of a model: engine, path, host and run do not matter.

The compiler leaves a few words of an .rknn unset, and they hold addresses of the converting process. Where
they are follows from the file's own structure, by chip:

- register patches: for each hardware task that reads a graph input, a table of `(value, register index)`
  pairs. The pairs that a chip uses have an index at a fixed distance from the task's first register, in every
  model and version seen; the others are never set;
- the mini format sets only the first three words of its header;
- rv1103b and rv1106b pack constants per 8 channels and leave the bytes of absent channels unset.

The digest is the SHA-256 of the file with these bytes zeroed. Everything else is reproducible when the
compiler ran in the memory of `shared.heap`; benchmarks/canonical_digest.py proves it by building.
"""

import hashlib
from typing import Dict, List, NamedTuple, Optional, Tuple

from shared import rknn_file
from shared.flatbuffer import Malformed, Table, unpack

Range = Tuple[int, int]

# 48 unset bytes per task, whose commands alone take over 1 kB: more, and the file was not understood
LIMIT_BYTES = 65536
LIMIT_SHARE = 0.05

PAIR = 8
TASKS = 1  # field of a graph input's patches
NODES, OPERATOR = 1, 1  # fields of a subgraph and of a node
MINI_HEADER = (0x18, rknn_file.HEADER)
MINI_WEIGHTS_LENGTH = 0x54  # position of the size of the weights, which end where the FlatBuffer begins
# tensor fields of the mini format, and the values that mark a packed constant
NATIVE_SHAPE, KIND, POSITION = 3, 2, 9
CONSTANT, INT32 = 4, "int32"
CHANNEL_GROUP, CHANNEL_GROUP_BYTES, CHANNEL_BYTES_AT = 8, 56, 24


class Unset(NamedTuple):
    """What the compiler leaves unset for a chip: patch pairs by field number, bytes of absent channels.

    overread_by names operators whose constants the compiler copies from beyond their end: no digest then.
    """

    input_patches: Tuple[int, ...] = ()
    converting_patches: Tuple[int, ...] = ()
    absent_channels: bool = False
    overread_by: Tuple[str, ...] = ()


UNSET: Dict[str, Unset] = {
    "rk3588": Unset((2,), (6, 7, 8, 11, 12)),
    "rk3576": Unset((), (11, 12)),
    "rk3566": Unset((), (5, 6, 7, 8, 9)),
    "rk3568": Unset((), (5, 6, 7, 8, 9)),
    "rk3562": Unset(),
    "rv1126b": Unset((), (11, 12)),
    "rv1103": Unset((2,), overread_by=("exGRU",)),
    "rv1106": Unset((2,), overread_by=("exGRU",)),
    "rv1103b": Unset((), (6, 7, 8, 9), absent_channels=True, overread_by=("exGRU",)),
    "rv1106b": Unset((), (6, 7, 8, 9), absent_channels=True, overread_by=("exGRU",)),
    "rk2118": Unset((), (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11)),
}


def canonical(data: bytes) -> Optional[str]:
    """`sha256:` and the hex digest of an .rknn with its unset bytes zeroed.

    None for a chip whose unset bytes are not known, when they would be implausibly many, and for the few
    operators whose constants the compiler itself gets wrong. ValueError when the file is damaged.
    """
    ranges = unset(data)
    if ranges is None:
        return None
    masked = bytearray(data)
    for start, end in ranges:
        masked[start:end] = bytes(end - start)
    return "sha256:" + hashlib.sha256(masked).hexdigest()


def masked_bytes(data: bytes) -> int:
    """How many bytes `canonical` leaves out."""
    return sum(end - start for start, end in unset(data) or ())


def unset(data: bytes) -> Optional[List[Range]]:
    """The byte ranges (start, end) that the compiler leaves unset, or None as for `canonical`."""
    frame = rknn_file.split(data)
    chip = UNSET.get(frame.root.text(frame.numbers.platform) or "")
    if chip is None:
        return None
    mini = frame.format == rknn_file.MINI
    ranges = [MINI_HEADER] if mini else []
    for subgraph in frame.root.tables(rknn_file.SUBGRAPHS):
        if any(node.text(OPERATOR) in chip.overread_by for node in subgraph.tables(NODES)):
            return None
        for patches, pairs in (
            (frame.numbers.input_patches, chip.input_patches),
            (frame.numbers.converting_patches, chip.converting_patches),
        ):
            ranges += _pairs(subgraph, patches, pairs, frame.offset)
        if mini and chip.absent_channels:
            weights = frame.offset - int(unpack("I", data, MINI_WEIGHTS_LENGTH)[0])
            ranges += _absent_channels(subgraph, weights, frame.offset)
    plausible = sum(end - start for start, end in ranges) <= min(LIMIT_BYTES, LIMIT_SHARE * len(data))
    return ranges if plausible else None


def _pairs(subgraph: Table, patches: int, pairs: Tuple[int, ...], offset: int) -> List[Range]:
    ranges = []
    for graph_input in subgraph.tables(patches):
        for task in graph_input.tables(TASKS):
            for number in pairs:
                at = task.field(number)
                if at is not None:
                    ranges.append(_inside(offset + at, offset + at + PAIR, offset + len(task.data)))
    return ranges


def _absent_channels(subgraph: Table, weights: int, end: int) -> List[Range]:
    """A group is 4 int32 and 4 uint16 (channels 0 to 3), 8 bytes (0 to 7), 4 int32 and 4 uint16 (4 to 7)."""
    ranges = []
    for tensor in subgraph.tables(rknn_file.TENSORS):
        shape, native = tensor.ints(rknn_file.SHAPE), tensor.ints(NATIVE_SHAPE)
        dtype = rknn_file.DTYPES.get(tensor.byte(rknn_file.DTYPE))
        if (tensor.byte(KIND), dtype, len(shape), len(native)) != (CONSTANT, INT32, 1, 1):
            continue
        groups, present = divmod(shape[0], CHANNEL_GROUP)
        channel_bytes = groups * CHANNEL_GROUP_BYTES + CHANNEL_BYTES_AT
        if not present or 4 * native[0] < channel_bytes + CHANNEL_GROUP:
            continue
        at = tensor.field(POSITION)
        start = weights + channel_bytes + (0 if at is None else int(unpack("I", tensor.data, at)[0]))
        ranges.append(_inside(start + present, start + CHANNEL_GROUP, end))
    return ranges


def _inside(start: int, end: int, limit: int) -> Range:
    if not rknn_file.HEADER <= start < end <= limit:
        raise Malformed("unset bytes lie outside the file")
    return start, end
