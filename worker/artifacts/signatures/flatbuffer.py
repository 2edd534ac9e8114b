"""The bytes of a flatbuffer -> the fields of its tables, without the library that wrote it. Pure.

Format: flatbuffers.dev, "FlatBuffers internals". Offsets are checked: none leads out of the buffer.
"""

from __future__ import annotations

import struct

from worker.artifacts.damaged import Damaged


class Table:
    """A table at a position of a buffer; its fields are counted from 0 in the order of the schema."""

    def __init__(self, buffer: memoryview, at: int) -> None:
        """Raises Damaged."""
        self._buffer = buffer
        self._at = at
        self._fields = at - _number(buffer, "<i", at)
        self._size = _number(buffer, "<H", self._fields)

    def tables(self, field: int) -> list[Table]:
        """A vector of tables; empty if the field is not set. Raises Damaged."""
        return list(map(self._table, self._vector(field)))

    def table(self, field: int, place: int) -> Table:
        """One table of a vector, which may be long. Raises Damaged if it has no such place."""
        places = self._vector(field)
        if not 0 <= place < len(places):
            raise Damaged(f"a vector has no place {place}")
        return self._table(places[place])

    def whole_numbers(self, field: int) -> list[int]:
        """A vector of 32-bit numbers; empty if the field is not set. Raises Damaged."""
        return [_number(self._buffer, "<i", at) for at in self._vector(field)]

    def whole_number(self, field: int) -> int:
        """A number of 32 bits; 0 if the field is not set. Raises Damaged."""
        at = self._place(field)
        return _number(self._buffer, "<I", at) if at is not None else 0

    def text(self, field: int) -> str:
        """A string; empty if the field is not set. Raises Damaged."""
        at = self._place(field)
        if at is None:
            return ""
        start = at + _number(self._buffer, "<I", at)
        length = _number(self._buffer, "<I", start)
        if start + 4 + length > len(self._buffer):
            raise Damaged("a text leads out of the buffer")
        return str(self._buffer[start + 4 : start + 4 + length], "utf-8", "backslashreplace")

    def _table(self, at: int) -> Table:
        return Table(self._buffer, at + _number(self._buffer, "<I", at))

    def _vector(self, field: int) -> range:
        """The positions of a vector's elements, each of 4 bytes."""
        at = self._place(field)
        if at is None:
            return range(0)
        start = at + _number(self._buffer, "<I", at)
        length = _number(self._buffer, "<I", start)
        return range(start + 4, start + 4 + 4 * length, 4)

    def _place(self, field: int) -> int | None:
        entry = 4 + 2 * field
        offset = _number(self._buffer, "<H", self._fields + entry) if entry + 2 <= self._size else 0
        return self._at + offset if offset else None


def root_of(buffer: memoryview, kind: bytes) -> Table:
    """The first table of a buffer of this kind (its file identifier). Raises Damaged for another one."""
    if bytes(buffer[4:8]) != kind:
        raise Damaged(f"the buffer is no {kind.decode()}")
    return Table(buffer, _number(buffer, "<I", 0))


def _number(buffer: memoryview, form: str, at: int) -> int:
    if not 0 <= at <= len(buffer) - struct.calcsize(form):
        raise Damaged("an offset leads out of the buffer")
    (number,) = struct.unpack_from(form, buffer, at)
    return int(number)
