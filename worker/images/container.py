"""Encoded bytes of a known kind -> what the decoder gets of them, after the limits of their format were checked.

Each kind has its own walk over the parts that a file is made of. It jumps from part to part, and costs less than a
hundredth of decoding.
"""

from __future__ import annotations

from dataclasses import dataclass

from worker.errors import TooLarge
from worker.images import jpeg_segments, png_chunks
from worker.images.sniff import canvas

WEBP_CHUNKS_AT_MOST = 10_000
"""An animation has one for each frame."""


@dataclass(frozen=True, slots=True)
class Container:
    """A file whose parts are within the limits.

    content:       the bytes to decode
    canvas:        width and height that its reader will allocate when it opens the file; (0, 0) if it allocates nothing
    orientation:   how the picture must be turned; None if only the opened file tells it
    several_scans: whether a JPEG has more than one scan
    """

    content: bytes
    canvas: tuple[int, int] = (0, 0)
    orientation: int | None = 1
    several_scans: bool = False


def checked(kind: str, data: bytes) -> Container:
    """The container of a file of that kind. Raises TooLarge where it has more parts than its format's limit."""
    match kind:
        case "JPEG":
            jpeg = jpeg_segments.without_metadata(data)
            return Container(jpeg.content, orientation=jpeg.orientation, several_scans=jpeg.several_scans)
        case "PNG":
            content, orientation = png_chunks.without_metadata(data)
            return Container(content, orientation=orientation)
        case "WebP":
            _check_chunks(data)
            return Container(data, canvas(kind, data), orientation=None)
    return Container(data, canvas(kind, data))


def _check_chunks(data: bytes) -> None:
    """Count the chunks of a WebP (RFC 9649, section 2.3); those within a frame are few."""
    at = 12
    for _ in range(WEBP_CHUNKS_AT_MOST):
        if at + 8 > len(data):
            return
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + size + (size & 1)
    raise TooLarge(f"The WebP has more than {WEBP_CHUNKS_AT_MOST} chunks: send one frame of it.")
