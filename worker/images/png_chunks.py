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

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_HEAD = struct.Struct(">I4s")
_PIXELS = b"IDAT"
_KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", _PIXELS})
_AFTER_PIXELS = frozenset({_PIXELS})
_TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt"})
_EXIF_TEXT, _XMP_TEXT = b"Raw profile type exif\0", b"XML:com.adobe.xmp\0"


class _Metadata:
    """What the ancillary chunks say of the orientation; only the first of each kind is read, to bound the work."""

    def __init__(self) -> None:
        self.exif: bytes | None = None
        self._profile: bytes | None = None
        self._xmp: bytes | None = None

    @property
    def orientation(self) -> int:
        """From 1 to 8, see `orientation_of`."""
        return orientation_of(self._profile or b"" if self.exif is None else self.exif, self._xmp or b"")

    def read_text(self, kind: bytes, content: bytes) -> None:
        """Note a text chunk that holds EXIF or XMP (PNG specification, section 11.3.4)."""
        if content.startswith(_XMP_TEXT) and self._xmp is None:
            self._xmp = _text(kind, content)
        elif content.startswith(_EXIF_TEXT) and self._profile is None:
            self._profile = _from_hexadecimal(_text(kind, content))


def without_metadata(data: bytes) -> tuple[bytes, int]:
    """The file without ancillary chunks (but transparency) and its orientation; the same object if it has none.

    Raises TooLarge above the limits of this module. Damage is left for the decoder to report.
    """
    kept: list[bytes] = []
    kept_to, at, chunks, metadata, wanted = 0, len(SIGNATURE), 0, _Metadata(), _KEPT
    most = CHUNKS_AT_MOST + len(data) // 1024
    while at + 12 <= len(data):
        length, kind = _HEAD.unpack_from(data, at)
        end = at + 12 + length
        if kind == b"IEND" or end > len(data) or not kind.isalpha():
            break
        chunks += 1
        if chunks > most:
            raise TooLarge(f"The PNG has more than {most} chunks: save it again, without metadata.")
        if kind == _PIXELS:  # Pillow would take a transparent colour even after the pixels, and more memory with it
            wanted = _AFTER_PIXELS
        if kind not in wanted:
            kept.append(data[kept_to:at])
            kept_to = end
            if kind == b"eXIf":
                metadata.exif = data[at + 8 : end - 4]
            elif kind in _TEXTS:
                metadata.read_text(kind, data[at + 8 : end - 4])
        at = end
    if not kept_to:
        return data, metadata.orientation
    kept.append(data[kept_to:])
    return b"".join(kept), metadata.orientation


def _text(kind: bytes, content: bytes) -> bytes:
    """The text of a chunk, unpacked; b"" if it cannot be unpacked."""
    _, _, text = content.partition(b"\0")
    packed = kind == b"zTXt" or (kind == b"iTXt" and text[:1] == b"\1")
    if kind == b"iTXt":
        text = text[2:].split(b"\0", 2)[-1]
    elif packed:
        text = text[1:]
    if not packed:
        return text
    try:
        return zlib.decompressobj().decompress(text, PROFILE_BYTES_AT_MOST)
    except zlib.error:
        return b""


def _from_hexadecimal(text: bytes) -> bytes:
    """ImageMagick's EXIF: a line break, a name, a length, then hexadecimal lines; b"" if it is anything else."""
    try:
        return bytes.fromhex(text.split(b"\n", 3)[-1].decode("ascii"))
    except ValueError:
        return b""
