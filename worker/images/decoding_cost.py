"""A picture whose header has been read -> whether its decoding fits the memory and the time that its file may cost.

A few bytes may describe millions of pixels. So memory is limited by what Pillow takes for the picture's kind and
mode, with more for a larger file: an image of 50 million pixels is taken if its file is not suspiciously small for
it. Pillow decodes run-length-encoded BMPs in Python, a byte at a time; those have a limit of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from PIL.ImageFile import ImageFile

from worker.errors import TooLarge

MEMORY_BYTES_AT_MOST = 250_000_000
"""For any picture; a larger file may take `MEMORY_PER_BYTE` for each of its bytes if that is more."""

MEMORY_PER_BYTE = 250
"""Photographs take 3 (PNG) to 60 (JPEG) bytes of memory for a byte of their file."""

RLE_PIXELS_AT_MOST = 2_100_000
"""A screen of 1920 x 1080; such files are icons and old screenshots, and cost half a second at most."""

RLE_BYTES_PER_PIXEL = 4

# Bytes of memory for each pixel while Pillow decodes and the worker scales, without and with an alpha channel made of
# a palette or a transparent colour; "" stands for the modes that are not named. Measured: docs/decisions/0032.
_BYTES_PER_PIXEL: Mapping[str, Mapping[str, tuple[float, float]]] = MappingProxyType(
    {
        "JPEG": {"L": (1, 1), "RGB": (4, 4), "": (9, 9)},
        "PNG": {
            "1": (2.1, 9.2),
            "L": (1.2, 9.2),
            "P": (6, 10),
            "RGB": (5, 13),
            "RGBA": (9, 9),
            "I;16": (7, 13),
            "": (13, 13),
        },
        "GIF": {"": (6, 10)},
        "BMP": {"RGB": (7, 7), "RGBA": (8, 8), "": (4, 4)},
        "WebP": {"": (17, 17)},
    }
)
_UNSCALED, _UNSCALED_LEAST = 7, 11  # for the array of a picture that is not scaled

_COEFFICIENT_BYTES = 2  # libjpeg keeps all coefficients of a JPEG of several scans


@dataclass(frozen=True, slots=True)
class Decoding:
    """What is known of a picture before its pixels are decoded.

    image:         opened; a JPEG has the reduced size in which it is decoded
    whole_pixels:  width x height as the header says
    file_bytes:    of the whole file, metadata included
    scaled:        whether the picture is scaled to a size before it becomes an array
    several_scans: whether a JPEG is decoded in more than one pass
    """

    kind: str
    image: ImageFile
    whole_pixels: int
    file_bytes: int
    scaled: bool
    several_scans: bool

    @property
    def memory_bytes(self) -> int:
        """The memory that decoding takes at most."""
        known = _BYTES_PER_PIXEL[self.kind]
        opaque, transparent = known.get(self.image.mode, known[""])
        per_pixel = transparent if self.image.has_transparency_data else opaque
        if not self.scaled:
            per_pixel = max(per_pixel + _UNSCALED, _UNSCALED_LEAST)
        coefficients = _COEFFICIENT_BYTES * len(self.image.getbands()) if self.several_scans else 0
        return round(self.image.width * self.image.height * per_pixel) + self.whole_pixels * coefficients


def check_cost(decoding: Decoding) -> None:
    """Raise TooLarge if decoding would take more memory or time than the size of the file allows."""
    needed, file_bytes = decoding.memory_bytes, decoding.file_bytes
    allowed = max(MEMORY_BYTES_AT_MOST, MEMORY_PER_BYTE * file_bytes)
    if needed > allowed:
        raise TooLarge(
            f"The {decoding.kind} image of {file_bytes} bytes needs {needed // 1_000_000} MB of memory to decode and "
            f"the limit for a file of that size is {allowed // 1_000_000} MB; send it smaller."
        )
    if any(tile[0] == "bmp_rle" for tile in decoding.image.tile):
        _check_runs(decoding.whole_pixels, file_bytes)


def _check_runs(pixels: int, file_bytes: int) -> None:
    if pixels > RLE_PIXELS_AT_MOST or file_bytes > RLE_BYTES_PER_PIXEL * pixels + 65536:
        raise TooLarge(
            f"A run-length-encoded BMP may have {RLE_PIXELS_AT_MOST} pixels and {RLE_BYTES_PER_PIXEL} bytes for each "
            "of them; save it as PNG."
        )
