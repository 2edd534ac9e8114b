"""An image becomes a request body: read once, whole, and kept, so that it can be sent again."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from p2pclient.types import Image


async def read_image(image: Image) -> bytes:
    """The encoded image as bytes; files are read in a thread.

    Raises OSError if the path cannot be read, TypeError if `image` is nothing that holds bytes.
    """
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image)
    if isinstance(image, str | os.PathLike):
        return await asyncio.to_thread(Path(image).read_bytes)
    if not hasattr(image, "read"):
        raise TypeError(f"an image is a path, bytes or a binary file, not {type(image).__name__}")
    content = await asyncio.to_thread(image.read)
    if not isinstance(content, bytes):
        raise TypeError('the file was opened in text mode: open it with mode "rb"')
    return content


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
