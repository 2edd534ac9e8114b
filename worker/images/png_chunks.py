"""A PNG -> the same picture with only the chunks that its pixels need, and its orientation; or a refusal.

Pillow reads every chunk in Python, and unpacks up to a megabyte for each colour profile and each text. Without the
ancillary chunks nothing is unpacked but pixels; the frames of an animation after the first go with them.
"""

from __future__ import annotations

import struct
import zlib

from worker.errors import TooLarge
from worker.images.orientation import orientation_of

CHUNKS_AT_MOST = 1000
"""And one per kilobyte of the file; encoders write pixels in chunks of 8 kB or more."""

PROFILE_BYTES_AT_MOST = 1 << 20
"""Of compressed EXIF or XMP, unpacked; anything larger is not read."""

_HEAD = struct.Struct(">I4s")
_KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT"})
_TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt"})
_EXIF_TEXT, _XMP_TEXT = b"Raw profile type exif\0", b"XML:com.adobe.xmp\0"


def without_metadata(data: bytes) -> tuple[bytes, int]:
    """The file without ancillary chunks (but transparency) and its orientation; the same object if it has none.

    Raises TooLarge above the limits of this module. Damage is left for the decoder to report.
    """
    kept: list[bytes] = []
    kept_to, at, chunks = 0, 8, 0
    exif = xmp = b""
    most = CHUNKS_AT_MOST + len(data) // 1024
    while at + 12 <= len(data):
        length, kind = _HEAD.unpack_from(data, at)
        end = at + 12 + length
        if kind == b"IEND" or end > len(data) or not kind.isalpha():
            break
        chunks += 1
        if chunks > most:
            raise TooLarge(f"The PNG has more than {most} chunks: save it again, without metadata.")
        if kind not in _KEPT:
            kept.append(data[kept_to:at])
            kept_to = end
            if kind == b"eXIf":
                exif = data[at + 8 : end - 4]
            elif kind in _TEXTS and data.startswith((_EXIF_TEXT, _XMP_TEXT), at + 8):
                exif, xmp = _text(kind, data[at + 8 : end - 4], exif, xmp)
        at = end
    orientation = orientation_of(exif, xmp)
    if not kept_to:
        return data, orientation
    kept.append(data[kept_to:])
    return b"".join(kept), orientation


def _text(kind: bytes, content: bytes, exif: bytes, xmp: bytes) -> tuple[bytes, bytes]:
    """EXIF and XMP after this text chunk (PNG specification, sections 11.3.4; ImageMagick's hexadecimal profiles)."""
    name, _, text = content.partition(b"\0")
    if kind == b"iTXt":
        packed = text[:1] == b"\1"
        text = text[2:].split(b"\0", 2)[-1]
    else:
        packed = kind == b"zTXt"
        text = text[1:] if packed else text
    if packed:
        try:
            text = zlib.decompressobj().decompress(text, PROFILE_BYTES_AT_MOST)
        except zlib.error:
            return exif, xmp
    if name + b"\0" == _XMP_TEXT:
        return exif, text
    try:
        return exif or bytes.fromhex(b"".join(text.split(b"\n")[3:]).decode("ascii")), xmp
    except ValueError:
        return exif, xmp
