"""Reads FlatBuffers without their schema compiler: an .rknn file keeps its model in one.

Only what an .rknn needs, and every read is checked against the buffer, because files come damaged.
Binary layout: https://flatbuffers.dev/internals/
"""

import struct
from typing import Any, List, NamedTuple, Optional, Tuple


class Malformed(ValueError):
    """The bytes do not form what was asked for."""


def unpack(layout: str, data: bytes, at: int) -> Tuple[Any, ...]:
    """The little-endian values of a struct layout at a position; Malformed outside the data."""
    layout = "<" + layout
    if at < 0 or at + struct.calcsize(layout) > len(data):
        raise Malformed("a value lies outside the data (at byte %d of %d)" % (at, len(data)))
    return struct.unpack_from(layout, data, at)


class Table(NamedTuple):
    """One table: fields are found by their number, and a missing field is None or empty."""

    data: bytes
    at: int

    def field(self, number: int) -> Optional[int]:
        """Position of the field's inline bytes in `data`, or None when the table leaves it out."""
        vtable = self.at - int(unpack("i", self.data, self.at)[0])
        size, table_size = unpack("HH", self.data, vtable)
        slot = 4 + 2 * number
        if slot + 2 > size:
            return None
        offset = int(unpack("H", self.data, vtable + slot)[0])
        if offset >= table_size:
            raise Malformed("a field lies outside its table (at byte %d)" % self.at)
        return self.at + offset if offset else None

    def byte(self, number: int) -> int:
        """An unsigned 8-bit field; 0 is the default that is left out."""
        at = self.field(number)
        return 0 if at is None else int(unpack("B", self.data, at)[0])

    def ints(self, number: int) -> List[int]:
        """A vector of signed 32-bit integers."""
        start, count = self._vector(number)
        return list(unpack("%di" % count, self.data, start))

    def floats(self, number: int) -> List[float]:
        """A vector of 32-bit floats."""
        start, count = self._vector(number)
        return list(unpack("%df" % count, self.data, start))

    def text(self, number: int) -> Optional[str]:
        """A UTF-8 string; UnicodeDecodeError (a ValueError) when it is none."""
        if self.field(number) is None:
            return None
        start, count = self._vector(number)
        return bytes(unpack("%ds" % count, self.data, start)[0]).decode("utf-8")

    def tables(self, number: int) -> List["Table"]:
        """A vector of tables."""
        start, count = self._vector(number)
        offsets = unpack("%dI" % count, self.data, start)
        return [Table(self.data, start + 4 * i + offset) for i, offset in enumerate(offsets)]

    def _vector(self, number: int) -> Tuple[int, int]:
        """Position of the first element and the count."""
        at = self.field(number)
        if at is None:
            return 0, 0
        at += int(unpack("I", self.data, at)[0])
        return at + 4, int(unpack("I", self.data, at)[0])


def root(data: bytes) -> Table:
    """The root table of a buffer."""
    return Table(data, int(unpack("I", data, 0)[0]))
