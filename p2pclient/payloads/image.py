"""An image becomes a request body: read once, whole, and kept, so that it can be sent again."""

from __future__ import annotations

import asyncio
import io
import os
from pathlib import Path
from typing import Any

from p2pclient.payloads.png import png
from p2pclient.types import Image

_PNG_MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "I;16"})


async def read_image(image: Image) -> bytes:
    """The encoded image as bytes; files are read, and pixels encoded, in a thread.

    Pixels become a PNG: nothing is lost, and nothing is needed for it. Raises OSError if the path cannot be
    read, TypeError if `image` is nothing that holds an image, ValueError for pixels of an odd shape.
    """
    if isinstance(image, bytes):
        return image
    if isinstance(image, bytearray | memoryview):
        return bytes(image)
    if isinstance(image, str | os.PathLike):
        return await asyncio.to_thread(Path(image).read_bytes)
    if hasattr(image, "__array_interface__"):
        return await asyncio.to_thread(_encode, image)
    if not hasattr(image, "read"):
        raise TypeError(
            f"an image is a path, bytes, a binary file, a NumPy array or a Pillow image, not {type(image).__name__}"
        )
    content = await asyncio.to_thread(image.read)
    if not isinstance(content, bytes):
        raise TypeError('the file was opened in text mode: open it with mode "rb"')
    return content


def _encode(pixels: Any) -> bytes:
    """A Pillow image or a NumPy array as a PNG; the former says itself how."""
    if not hasattr(pixels, "save"):
        return png(pixels)
    file = io.BytesIO()
    fit = pixels if pixels.mode in _PNG_MODES else pixels.convert("RGB")  # CMYK, YCbCr and the like
    fit.save(file, "PNG", compress_level=1)
    return file.getvalue()


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
