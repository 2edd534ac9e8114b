"""The first bytes of an image -> its kind, and for GIF and WebP the size of its canvas.

The signature tells the kind, never a file name or a Content-Type header. The readers of GIF and WebP allocate memory
for the whole canvas when they open a file, so its size must be known before that; the readers of the other kinds read
only the header.
"""

from __future__ import annotations

KINDS = ("JPEG", "PNG", "WebP", "GIF", "BMP")

_MOST_BLOCKS = 10_000  # a GIF's extensions before its first frame; real files have a handful


def kind_of(data: bytes) -> str | None:
    """Name the kind of image that `data` starts like (one of `KINDS`), or None."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    return "BMP" if data.startswith(b"BM") else None


def canvas(kind: str, data: bytes) -> tuple[int, int]:
    """Width and height of a GIF's or WebP's canvas; (0, 0) for other kinds and if the header is incomplete."""
    if kind == "GIF":
        return _gif_canvas(data)
    return _webp_canvas(data) if kind == "WebP" else (0, 0)


def _number(data: bytes, start: int, size: int = 2) -> int:
    return int.from_bytes(data[start : start + size], "little")


def _gif_canvas(data: bytes) -> tuple[int, int]:
    """The logical screen, stretched to hold the first frame (GIF89a specification, sections 18 and 20)."""
    width, height = _number(data, 6), _number(data, 8)
    at = _first_frame(data, 13 + _palette(data, 10))
    left, top = _number(data, at + 1), _number(data, at + 3)
    return max(width, left + _number(data, at + 5)), max(height, top + _number(data, at + 7))


def _first_frame(data: bytes, at: int) -> int:
    """Where the first image descriptor starts, or where the data end; ValueError if too many blocks precede it."""
    for _ in range(_MOST_BLOCKS):
        byte = data[at : at + 1]
        if byte in (b"", b";", b","):
            return at
        at += 1
        if byte == b"!":  # an extension: its label, then blocks that each start with their length, then a 0
            at += 1
            while length := _number(data, at, 1):
                at += 1 + length
            at += 1
    raise ValueError("too many extensions before the first frame")


def _palette(data: bytes, at: int) -> int:
    """The size in bytes of the colour table that the flags at `at` announce."""
    flags = _number(data, at, 1)
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _webp_canvas(data: bytes) -> tuple[int, int]:
    """The size in the first chunk (RFC 9649, sections 2.5 to 2.7)."""
    chunk = data[12:16]
    if chunk == b"VP8X":
        return _number(data, 24, 3) + 1, _number(data, 27, 3) + 1
    if chunk == b"VP8 ":
        return _number(data, 26) & 0x3FFF, _number(data, 28) & 0x3FFF
    if chunk == b"VP8L":
        bits = _number(data, 21, 4)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return 0, 0
