"""Values -> the bytes of a protobuf message, without the library and without TensorFlow, which takes seconds to load.

Encoding: protobuf.dev/programming-guides/encoding. `worker.artifacts.safety.protobuf` reads such bytes. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

_VARINT, _BYTES = 0, 2
_BITS_64 = 1 << 64


def field(number: int, value: int | str | bytes) -> bytes:
    """One field: a whole number or truth value as a varint; a text, bytes or a message with its length before it."""
    if isinstance(value, int):
        return _varint(number << 3 | _VARINT) + _varint(value % _BITS_64)  # a negative number in two's complement
    content = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | _BYTES) + _varint(len(content)) + content


def map_field(number: int, entries: Mapping[str, bytes]) -> bytes:
    """A map from strings to messages."""
    return b"".join(field(number, field(1, key) + field(2, value)) for key, value in entries.items())


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
