"""The part of an image that lies in a box, as an encoded image for the next step."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worker.cascade.boxes import Box
from worker.images.decode import decode

_FAST = 1
"""PNG's compression level: a crop stays in memory and travels a short way."""


def cropped(data: bytes, box: Box, *, max_pixels: int) -> bytes:
    """The pixels inside `box`, at least one, of the upright image, as PNG. Raises a WorkerError as `decode` does."""
    pixels = decode(data, size=None, max_pixels=max_pixels)
    height, width = pixels.shape[:2]
    left, right = _span(box[0], box[2], width)
    top, bottom = _span(box[1], box[3], height)
    return encoded(pixels[top:bottom, left:right])


def encoded(pixels: NDArray[np.uint8]) -> bytes:
    """Pixels, uint8 [height, width, 3], as PNG, which loses nothing."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=_FAST)
    return buffer.getvalue()


def _span(begin: float, end: float, length: int) -> tuple[int, int]:
    """The pixels from `begin` to `end`, parts of `length`: at least one, and none outside."""
    first = min(max(0, round(begin * length)), length - 1)
    return first, max(first + 1, min(round(end * length), length))
