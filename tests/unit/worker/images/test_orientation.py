"""The orientation is read from EXIF or XMP as Pillow reads it, in bounded time, from whatever bytes."""

from __future__ import annotations

import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from worker.images.orientation import orientation_of


@pytest.mark.parametrize("value", range(10))
@pytest.mark.parametrize("order", ["<", ">"])
def test_pillows_exif_is_read(value: int, order: str) -> None:
    """Both byte orders give the value that was written; invalid values mean upright."""
    exif = Image.Exif()
    exif.endian = order
    exif[0x010F], exif[0x0112] = "a camera", value
    assert orientation_of(exif.tobytes()) == (value if 1 <= value <= 8 else 1)


def test_xmp_is_read_where_exif_says_nothing() -> None:
    """EXIF goes before XMP, which is found as an attribute and as an element."""
    exif = Image.Exif()
    exif[0x0112] = 3
    assert orientation_of(exif.tobytes(), b'tiff:Orientation="6"') == 3
    assert orientation_of(b"", b'<rdf tiff:Orientation="6"/>') == 6
    assert orientation_of(Image.Exif().tobytes(), b"<tiff:Orientation>8</tiff:Orientation>") == 8
    assert orientation_of(b"", b"") == 1


@given(st.binary(max_size=200), st.sampled_from([b"", b"II*\0", b"MM\0*", b"Exif\0\0II*\0\x08\0\0\0"]))
def test_no_bytes_make_it_fail(noise: bytes, start: bytes) -> None:
    """Damaged EXIF is upright or turned, and raises nothing."""
    assert 1 <= orientation_of(start + noise) <= 8


def test_a_directory_of_all_entries_is_not_read_to_its_end() -> None:
    """A directory that announces 65,535 entries costs no more than a thousand of them."""
    tiff = b"II*\0\x08\0\0\0" + struct.pack("<H", 65_535) + struct.pack("<HHII", 1, 3, 1, 0) * 65_535
    since_s = time.thread_time()
    assert orientation_of(tiff) == 1
    assert time.thread_time() - since_s < 0.05
