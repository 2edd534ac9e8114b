"""Base64 text -> bytes: the standard and the web-safe alphabet, with or without padding and line breaks."""

from __future__ import annotations

import binascii

from worker.errors import BadRequest

_STEP = 1 << 18  # a multiple of 4; decoding one takes 0.4 ms, after which other threads get their turn
_STANDARD = bytes.maketrans(b"-_", b"+/")
_BLANKS = b" \t\r\n"


def decode_base64(text: str) -> bytes:
    """The bytes that `text` stands for (RFC 4648, sections 4 and 5). Raises BadRequest for anything else."""
    try:
        data = text.encode("ascii")
        if any(mark in data for mark in (b"-", b"_", b"\n", b"\r", b" ", b"\t")):
            data = data.translate(_STANDARD, _BLANKS)
        if data.endswith(b"==="):
            raise ValueError("more padding than there can be")
        data = data.rstrip(b"=")
        data += b"=" * (-len(data) % 4)
        pieces = (data[at : at + _STEP] for at in range(0, len(data), _STEP))
        return b"".join(binascii.a2b_base64(piece, strict_mode=True) for piece in pieces)
    except ValueError:  # UnicodeEncodeError and binascii.Error are such
        raise BadRequest(f"This is not base64: {text[:40]!r}; encode all bytes of the image file.") from None
