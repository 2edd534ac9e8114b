"""The bytes of a protobuf message -> the values of a few of its fields, without the library that wrote it.

A model is looked into before a framework is imported, and whichever framework will load it. A field that occurs several
times is given several times, so that no reader's choice among them hides one. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from worker.artifacts.damaged import Damaged

_VARINT, _FIXED64, _BYTES, _GROUP, _GROUP_END, _FIXED32 = range(6)
_LONGEST_VARINT = 10
_DEEPEST = 100


def fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The number and content of each field of strings, bytes or messages, in order. Raises Damaged."""
    for number, content in _items(message):
        if isinstance(content, memoryview):
            yield number, content


def numbers(message: memoryview, wanted: int) -> list[int]:
    """The values of a field of whole numbers, enumerations or truth values. Raises Damaged."""
    return [value for number, value in _items(message) if number == wanted and isinstance(value, int)]


def _items(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """The number and content of each field of strings, bytes or messages, and of each whole number, in order."""
    at, end, depth = 0, len(message), 0
    while at < end:
        key, at = _varint(message, at)
        kind = key & 7
        if kind == _BYTES:
            length, at = _varint(message, at)
            if length > end - at:
                raise Damaged("a field is longer than its message")
            if not depth:
                yield key >> 3, message[at : at + length]
            at += length
        elif kind == _VARINT:
            value, at = _varint(message, at)
            if not depth:
                yield key >> 3, value
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        elif kind == _GROUP and depth < _DEEPEST:  # nobody writes groups any more, but readers skip them
            depth += 1
        elif kind == _GROUP_END and depth:
            depth -= 1
        else:
            raise Damaged(f"a field is of the kind {kind}")
    if at > end or depth:
        raise Damaged("the last field is cut off")


def all_of(message: memoryview, *path: int) -> Iterator[memoryview]:
    """The contents of all fields that a path of field numbers leads to. Raises Damaged."""
    first, *rest = path
    for number, content in fields(message):
        if number == first:
            if rest:
                yield from all_of(content, *rest)
            else:
                yield content


def texts(message: memoryview, *path: int) -> list[str]:
    """The fields that a path leads to, as text. Raises Damaged."""
    return [text(content) for content in all_of(message, *path)]


def text(content: memoryview) -> str:
    """A field as text; bytes that are no UTF-8 are escaped."""
    return str(content, "utf-8", "backslashreplace")


def map_entries(message: memoryview, number: int) -> Iterator[tuple[str, memoryview]]:
    """Key and value of each entry of a map from strings to messages. Raises Damaged."""
    for entry in all_of(message, number):
        keys, values = texts(entry, 1), list(all_of(entry, 2))
        yield from ((key, value) for key in keys or [""] for value in values)


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """The number that starts at a position, and the position after it."""
    value = 0
    for place in range(_LONGEST_VARINT):
        if at + place >= len(message):
            break
        byte: Any = message[at + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    raise Damaged("a number is cut off or too long")
