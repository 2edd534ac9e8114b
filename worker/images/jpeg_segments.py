"""A JPEG -> the same picture without metadata and fill bytes, and its orientation; or a refusal.

Pillow reads the segments before the first scan in Python, and libjpeg passes over the whole picture for each scan,
however few bytes the scan has. Neither has a limit of its own. This walk jumps from segment to segment, and from scan
to scan only where there may be several.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from worker.errors import TooLarge
from worker.images.orientation import orientation_of

SEGMENTS_AT_MOST = 1000
"""Real files have ten to some hundred; large metadata come in segments of 64 kB."""

METADATA_BYTES_AT_MOST = 16 << 20
TABLE_BYTES_AT_MOST = 256 << 10
"""Quantization and Huffman tables, which are parsed again for each segment; real files have some hundred bytes."""

SCANS_AT_MOST = 100
"""The common encoders write 10 to 14 scans, custom scripts a few dozen."""

SCAN_BLOCKS_AT_MOST = 4_000_000
SCAN_BLOCKS_PER_BYTE = 4
"""Scans times blocks of 8 x 8 pixels, for any file and for each of its bytes: 14 scans of 18 megapixels, however small.

A scan of no bytes costs 3 ns to 60 ns a block.
"""

_SCAN, _END = 0xDA, 0xD9
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_TABLES = frozenset({0xC4, 0xCC, 0xDB})
# APP0 (JFIF) and APP14 (Adobe) say how to read the colours; the other application segments and comments do not.
_METADATA = frozenset({*range(0xE1, 0xEE), 0xEF, 0xFE})
_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"

# Fill bytes and a marker; not one without a segment of its own, nor a zero, which follows a 0xFF that is data
# (ITU T.81 sections B.1.1.2 and B.1.1.5).
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")


class _Walk:
    """What has been seen of a file so far, and the ranges of it that are kept."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.kept: list[bytes] = []
        self.kept_to = 0
        self.exif: list[bytes] = []
        self.xmp = b""
        self.metadata_bytes = self.table_bytes = self.scans = 0
        self.blocks = self.components = 0
        self.progressive = False

    def drop(self, begin: int, end: int) -> None:
        """Leave these bytes out."""
        self.kept.append(self.data[self.kept_to : begin])
        self.kept_to = end

    def metadata(self, begin: int, end: int) -> None:
        """Leave a segment out, and note what may hold the orientation."""
        self.metadata_bytes += end - begin
        if self.metadata_bytes > METADATA_BYTES_AT_MOST:
            raise TooLarge(f"The JPEG holds more than {METADATA_BYTES_AT_MOST} bytes of metadata: send it without.")
        self.drop(begin, end)
        if self.data.startswith(_EXIF, begin + 4):
            self.exif.append(self.data[begin + 4 + len(_EXIF) : end])
        elif self.data.startswith(_XMP, begin + 4):
            self.xmp = self.data[begin + 4 : end]

    def tables(self, begin: int, end: int) -> None:
        """Count the bytes of tables."""
        self.table_bytes += end - begin
        if self.table_bytes > TABLE_BYTES_AT_MOST:
            raise TooLarge(f"The JPEG holds more than {TABLE_BYTES_AT_MOST} bytes of tables: save it again.")

    def frame(self, code: int, begin: int) -> None:
        """Note the size (ITU T.81 section B.2.2)."""
        head = self.data[begin + 4 : begin + 10]
        if len(head) == 6:
            height, width = int.from_bytes(head[1:3], "big"), int.from_bytes(head[3:5], "big")
            self.components = head[5]
            self.blocks = -(-height // 8) * -(-width // 8)
            self.progressive = code in _PROGRESSIVE

    def scan(self, begin: int) -> bool:
        """Count a scan; whether it is the only one (ITU T.81 section B.2.3)."""
        self.scans += 1
        most_blocks = SCAN_BLOCKS_AT_MOST + SCAN_BLOCKS_PER_BYTE * len(self.data)
        if self.scans > SCANS_AT_MOST or (self.scans > 1 and self.scans * self.blocks > most_blocks):
            raise TooLarge(
                f"The JPEG has more than {SCANS_AT_MOST} scans, or too many for its size: save it again, "
                "best not as a progressive JPEG."
            )
        return not self.progressive and self.data[begin + 4 : begin + 5] == bytes([self.components])


@dataclass(frozen=True, slots=True)
class BareJpeg:
    """A JPEG without metadata, the orientation that they named, and whether it has more than one scan."""

    content: bytes
    orientation: int
    several_scans: bool


def without_metadata(data: bytes) -> BareJpeg:
    """The file without metadata; the same bytes object if it has none.

    Raises TooLarge above one of the limits of this module. Damage is left for the decoder to report.
    """
    walk, at = _Walk(data), 2
    for _ in range(SEGMENTS_AT_MOST):
        marker = _MARKER.search(data, at)
        if marker is None:
            break
        begin = marker.start()
        if begin > at:  # fill bytes, or bytes that belong to no segment
            walk.drop(at, begin)
        code = data[begin + 1]
        if code == _END:
            break
        at = begin + 2 + max(2, int.from_bytes(data[begin + 2 : begin + 4], "big"))
        if code in _METADATA:
            walk.metadata(begin, at)
        elif code in _TABLES:
            walk.tables(begin, at)
        elif code in _FRAMES:
            walk.frame(code, begin)
        elif code == _SCAN:
            if walk.scan(begin):
                break
            after = _MARKER.search(data, at)
            at = after.start() if after else len(data)
    else:
        raise TooLarge(f"The JPEG has more than {SEGMENTS_AT_MOST} segments: save it again, without metadata.")
    content = data
    if walk.kept_to:
        walk.kept.append(data[walk.kept_to :])
        content = b"".join(walk.kept)
    orientation = orientation_of(b"".join(walk.exif), walk.xmp)
    return BareJpeg(content, orientation, several_scans=walk.progressive or walk.scans > 1)
