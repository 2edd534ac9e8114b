"""The first bytes of an image -> its kind, and for GIF and WebP the size of its canvas.

The signature tells the kind, never a file name or a Content-Type header. The readers of GIF and WebP allocate memory
for the whole canvas when they open a file, so its size must be known before that; the readers of the other kinds read
only the header.
"""

from __future__ import annotations

from worker.errors import TooLarge

KINDS = ("JPEG", "PNG", "WebP", "GIF", "BMP")

GIF_BLOCKS_AT_MOST = 10_000
"""A GIF's extensions and the blocks in them before its first frame; Pillow keeps each block as an object.

Real files have a handful; XMP in a GIF has about one for 80 bytes.
"""


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
    """Where the first image descriptor starts, or where the data end; TooLarge if too many blocks precede it."""
    left = GIF_BLOCKS_AT_MOST
    while data[at : at + 1] not in (b"", b";", b",") and left > 0:
        left -= 1
        extension = data[at] == ord("!")
        at += 1
        if extension:  # its label, then blocks that each start with their length, then a 0
            at += 1
            while left > 0 and (length := _number(data, at, 1)):
                at += 1 + length
                left -= 1
            at += 1
    if left <= 0:
        raise TooLarge(f"The GIF has more than {GIF_BLOCKS_AT_MOST} blocks before its first frame: save it again.")
    return at


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
