"""An image becomes the bytes of a request: read once, whole, and kept, so that they can be sent again.

Pixels become a PNG: a header, the rows compressed by zlib, an end. Every row is stored as it is (filter 0) at zlib's
fastest level, since the file lives for one request. (Source: the PNG specification, W3C, sections 5, 9 and 11.)
"""

from __future__ import annotations

import asyncio
import inspect
import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

from p2pclient.errors import DeadlineExceeded
from p2pclient.messages import LARGE_COPY_BYTES
from p2pclient.types import Image

_PNG_MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "I;16"})

_COLOUR_TYPES = {1: 0, 3: 2, 4: 6}
"""PNG's colour types by channels: grey, RGB, RGB with alpha."""


async def read_image_within(image: Image, limit_s: float) -> bytes:
    """`read_image` in at most `limit_s` seconds; raises DeadlineExceeded after them."""
    try:
        async with asyncio.timeout(limit_s):
            return await read_image(image)
    except TimeoutError as error:
        raise DeadlineExceeded("the image could not be read in the time given to the call") from error


async def read_image(image: Image) -> bytes:
    """The encoded image as bytes; files are read, and pixels encoded, in a thread.

    Pixels become a PNG: nothing is lost, and no library is needed for it. Raises OSError if the path cannot be
    read, TypeError if `image` is of another kind, ValueError for pixels of another shape.
    """
    if isinstance(image, bytes):
        return image
    if isinstance(image, bytearray | memoryview):
        large = memoryview(image).nbytes >= LARGE_COPY_BYTES
        return await asyncio.to_thread(bytes, image) if large else bytes(image)
    if isinstance(image, str | os.PathLike):
        return await asyncio.to_thread(Path(image).read_bytes)
    # Without evaluating it: Pillow's computes all the image's bytes, which would hold up the event loop.
    if inspect.getattr_static(image, "__array_interface__", None) is not None:
        return await asyncio.to_thread(_encode, image)
    read = getattr(image, "read", None)
    if read is None:
        raise TypeError(
            f"an image is a path, bytes, a binary file, a NumPy array or a Pillow image, not {type(image).__name__}"
        )
    content = await asyncio.to_thread(read)
    if not isinstance(content, bytes):
        raise TypeError('the file was opened in text mode: open it with mode "rb"')
    return content


def _encode(pixels: Any) -> bytes:
    """A Pillow image or a NumPy array as a PNG; Pillow encodes its own images."""
    if not hasattr(pixels, "save"):
        return png(pixels)
    file = io.BytesIO()
    fit = pixels if pixels.mode in _PNG_MODES else pixels.convert("RGB")  # CMYK, YCbCr and the like
    fit.save(file, "PNG", compress_level=1)
    return file.getvalue()


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


def media_type(data: bytes) -> str:
    """The type to declare, told from the first bytes as the formats define them; else octet-stream."""
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "image/webp"
    if data.startswith(b"BM"):
        return "image/bmp"
    return "application/octet-stream"
