"""EXIF or XMP metadata -> the orientation in it, from 1 (upright) to 8.

Pillow reads all of EXIF, whose entries may name the same megabytes again and again; this reads one entry.
"""

from __future__ import annotations

import re
import struct

ENTRIES_AT_MOST = 1000
"""Entries of an EXIF directory that are looked at; cameras write some dozens."""

_UPRIGHT = 1
_TAG = 0x0112
_PREFIX = b"Exif\0\0"
_SIZES = {1: "B", 3: "H", 4: "I"}  # TIFF 6.0, section 2: BYTE, SHORT, LONG

_XMP = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')


def orientation_of(exif: bytes, xmp: bytes = b"") -> int:
    """The orientation that EXIF states, else XMP's; 1 without one and where the metadata is damaged."""
    found = _from_exif(exif.removeprefix(_PREFIX))
    if found is None and (match := _XMP.search(xmp)):
        found = int(match[1])
    return found if found is not None and 1 <= found <= 8 else _UPRIGHT


def _from_exif(tiff: bytes) -> int | None:
    """The value of the tag in the first directory (EXIF 2.32, section 4.6.2)."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return None
    try:
        (at,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, at)
        for place in range(at + 2, at + 2 + 12 * min(count, ENTRIES_AT_MOST), 12):
            tag, kind = struct.unpack_from(f"{order}HH", tiff, place)
            if tag == _TAG and kind in _SIZES:
                (value,) = struct.unpack_from(order + _SIZES[kind], tiff, place + 8)
                return int(value)
    except struct.error:
        pass
    return None
