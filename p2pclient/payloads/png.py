"""Pixels become a PNG: a header, the rows packed by zlib, an end. Pure.

Every row is stored as it is (filter 0) and packed at zlib's fastest level: the file lives for one request.
(Source: the PNG specification, W3C, sections 5, 9 and 11.)
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

_COLOUR_TYPES = {1: 0, 3: 2, 4: 6}
"""By channels: grey, RGB, RGB with alpha."""


def png(pixels: Any) -> bytes:
    """Encode uint8 [height, width] or [height, width, 1, 3 or 4], RGB, of anything with the buffer protocol.

    Raises TypeError for elements that are not uint8, ValueError for another shape.
    """
    view = memoryview(pixels)
    shape = view.shape or ()
    if view.format != "B":
        raise TypeError(f"pixels are uint8, 0 to 255, not of the kind {view.format!r}: convert them with .astype")
    channels = 1 if len(shape) == 2 else shape[-1] if len(shape) == 3 else 0
    if channels not in _COLOUR_TYPES or 0 in shape:
        raise ValueError(f"pixels are [height, width] or [height, width, 1, 3 or 4], not {list(shape)}")
    height, width = shape[:2]
    raw, row = view.tobytes(), width * channels
    rows = b"".join(b"\0" + raw[start : start + row] for start in range(0, len(raw), row))
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[channels], 0, 0, 0)
    chunks = (_chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(rows, 1)), _chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
