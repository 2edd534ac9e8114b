"""Which images may be decoded by the thread that predicts them."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from tests.support.photos import chelsea_jpeg
from worker.images.quick_decoding import BYTES_AT_MOST, SEGMENTS_AT_MOST, decodes_quickly


def grey_jpeg(width: int, height: int, *, progressive: bool = False, exif: bytes = b"") -> bytes:
    file = io.BytesIO()
    Image.new("L", (width, height)).save(file, "JPEG", progressive=progressive, exif=exif)
    return file.getvalue()


def test_a_photo_of_a_megapixel_decodes_quickly() -> None:
    """With metadata before its header or without."""
    assert decodes_quickly(chelsea_jpeg())
    assert decodes_quickly(grey_jpeg(1000, 1100))
    assert decodes_quickly(grey_jpeg(100, 100, exif=b"Exif\0\0" + bytes(60_000)))


@pytest.mark.parametrize(
    "data",
    [
        grey_jpeg(1001, 1100),
        grey_jpeg(100, 100, progressive=True),
        chelsea_jpeg() + bytes(BYTES_AT_MOST),
        b"\xff\xd8" + b"\xff\xe1\0\2" * SEGMENTS_AT_MOST + grey_jpeg(10, 10)[2:],
        b"\x89PNG\r\n\x1a\n",
        b"",
    ],
    ids=["large", "progressive", "a large file", "many segments", "another kind", "empty"],
)
def test_what_may_take_long_does_not(data: bytes) -> None:
    """Large pictures and files, several passes, and all that is no JPEG."""
    assert not decodes_quickly(data)


def test_a_cut_header_is_left_to_the_decoder() -> None:
    """Wherever it is cut, there is no error."""
    whole = grey_jpeg(10, 10)
    frame = whole.index(b"\xff\xc0")
    assert decodes_quickly(whole)
    assert not any(decodes_quickly(whole[:end]) for end in range(frame + 9))
