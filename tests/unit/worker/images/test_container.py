"""Every ordinary file passes the walk over its container and keeps its pixels; files of too many parts are refused."""

from __future__ import annotations

import io
import random
import struct
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.support.photos import chelsea, encode
from tests.support.pictures import hostile_pictures as hostile
from tests.support.pictures.picture_mutations import mutated, seeds
from worker.errors import TooLarge, WorkerError
from worker.images.container import checked
from worker.images.jpeg_segments import SCANS_AT_MOST, SEGMENTS_AT_MOST
from worker.images.png_chunks import CHUNKS_AT_MOST
from worker.images.sniff import GIF_BLOCKS_AT_MOST

SEEDS = seeds()


@pytest.mark.parametrize("number", range(len(SEEDS)))
def test_files_of_pillows_writers_keep_their_pixels(number: int) -> None:
    """What the walk leaves of a file has the very pixels of the file."""
    kind, data = SEEDS[number]
    content = checked(kind, data).content
    whole, bare = Image.open(io.BytesIO(data)), Image.open(io.BytesIO(content))
    assert (np.asarray(whole.convert("RGBA")) == np.asarray(bare.convert("RGBA"))).all()


@given(
    kind=st.sampled_from(["JPEG", "PNG", "WEBP"]),
    orientation=st.integers(1, 8),
    comment=st.binary(max_size=300),
    profile=st.binary(max_size=70_000),
    progressive=st.booleans(),
)
@settings(deadline=None, max_examples=40)
def test_ordinary_metadata_are_left_out_and_the_orientation_is_kept(
    kind: str, orientation: int, comment: bytes, profile: bytes, progressive: bool
) -> None:
    """Comments, profiles and EXIF, of whatever content, change neither the picture nor its orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    cat = Image.fromarray(chelsea()).resize((60, 40))
    options = {"exif": exif, "icc_profile": profile or None} | ({"comment": comment} if kind == "JPEG" else {})
    if kind == "JPEG" and progressive:
        options["progressive"] = True
    data = encode(cat, kind, **options)
    container = checked("WebP" if kind == "WEBP" else kind, data)
    if kind == "WEBP":
        return
    assert container.orientation == orientation
    bare = Image.open(io.BytesIO(container.content))
    assert not {"exif", "comment", "icc_profile"} & set(bare.info)
    assert (np.asarray(bare) == np.asarray(Image.open(io.BytesIO(data)))).all()


def test_a_file_without_metadata_is_not_copied() -> None:
    """The walk returns the bytes object that it was given."""
    for kind in ("JPEG", "PNG", "GIF", "BMP"):
        data = encode(Image.fromarray(chelsea()).resize((60, 40)), kind)
        assert checked(kind, data).content is data


def test_exif_in_the_text_of_a_png_is_found() -> None:
    """ImageMagick's older files state EXIF as hexadecimal text, packed or not; XMP stands in an iTXt chunk."""
    exif = Image.Exif()
    exif[0x0112] = 6
    text = b"\nexif\n      40\n" + b"\n".join([exif.tobytes().hex().encode()]) + b"\n"
    plain = hostile.chunk(b"tEXt", b"Raw profile type exif\0" + text)
    assert checked("PNG", hostile.png_with(plain)).orientation == 6
    xmp = hostile.chunk(b"iTXt", b'XML:com.adobe.xmp\0\0\0\0\0<a tiff:Orientation="3"/>')
    assert checked("PNG", hostile.png_with(xmp)).orientation == 3


def test_exif_in_two_segments_is_joined() -> None:
    """EXIF larger than a segment goes on in the next."""
    exif = Image.Exif()
    exif[0x0112] = 8
    tiff = exif.tobytes().removeprefix(b"Exif\0\0")
    pieces = hostile.segment(0xE1, b"Exif\0\0" + tiff[:12]) + hostile.segment(0xE1, b"Exif\0\0" + tiff[12:])
    assert checked("JPEG", hostile.jpeg_with(pieces)).orientation == 8


@pytest.mark.parametrize(
    ("kind", "small", "large"),
    [
        (
            "JPEG",
            hostile.jpeg_with(hostile.segment(0xE5, b"") * (SEGMENTS_AT_MOST - 20)),
            hostile.jpeg_with(hostile.segment(0xE5, b"") * SEGMENTS_AT_MOST),
        ),
        (
            "JPEG",
            hostile.empty_scans(scans=SCANS_AT_MOST - 1, width=80, height=80),
            hostile.empty_scans(scans=SCANS_AT_MOST, width=80, height=80),
        ),
        (
            "JPEG",
            hostile.empty_scans(scans=4),
            hostile.empty_scans(scans=20),
        ),
        (
            "JPEG",
            hostile.jpeg_with(hostile.segment(0xEF, bytes(65_000)) * 250),
            hostile.jpeg_with(hostile.segment(0xEF, bytes(65_000)) * 260),
        ),
        (
            "JPEG",
            hostile.jpeg_with(hostile.segment(0xDB, (b"\0" + b"\1" * 64) * 1000) * 3),
            hostile.jpeg_with(hostile.segment(0xDB, (b"\0" + b"\1" * 64) * 1000) * 5),
        ),
        (
            "PNG",
            hostile.png_with(hostile.chunk(b"IDAT", b"") * (CHUNKS_AT_MOST - 5)),
            hostile.png_with(hostile.chunk(b"IDAT", b"") * (CHUNKS_AT_MOST + 100)),
        ),
        (
            "GIF",
            hostile.comment_blocks(size_bytes=2 * GIF_BLOCKS_AT_MOST - 10),
            hostile.comment_blocks(size_bytes=2 * GIF_BLOCKS_AT_MOST + 10),
        ),
        (
            "WebP",
            b"RIFF" + bytes(4) + b"WEBP" + (b"ANMF" + bytes(4)) * 9000,
            b"RIFF" + bytes(4) + b"WEBP" + (b"ANMF" + bytes(4)) * 11_000,
        ),
    ],
    ids=["segments", "scans", "scan-blocks", "metadata", "tables", "chunks", "gif-blocks", "webp-chunks"],
)
def test_each_limit_is_a_refusal_that_says_what_to_do(kind: str, small: bytes, large: bytes) -> None:
    """Below the limit a file passes, above it the answer is a 413 with a sentence."""
    checked(kind, small)
    with pytest.raises(TooLarge, match=r": (save it again|send)"):
        checked(kind, large)


def test_a_jpeg_of_several_scans_is_known() -> None:
    """Progressive files have several scans, baseline files one; libjpeg's memory depends on it."""
    cat = Image.fromarray(chelsea()).resize((60, 40))
    assert not checked("JPEG", encode(cat, "JPEG")).several_scans
    assert checked("JPEG", encode(cat, "JPEG", progressive=True)).several_scans


@settings(deadline=None, max_examples=150)
@given(number=st.integers(0, len(SEEDS) - 1), seed=st.integers(0, 1 << 30))
def test_mutated_containers_are_walked_or_refused(number: int, seed: int) -> None:
    """Whatever becomes of a file, the walk ends with bytes no longer than before, or with one of our errors."""
    kind, data = SEEDS[number]
    data = mutated(kind, data, random.Random(seed))
    with suppress(WorkerError):
        assert len(checked(kind, data).content) <= len(data)


def test_junk_between_segments_costs_nothing() -> None:
    """Fill bytes and bytes of no segment are left out, so that the reader does not go through them one by one."""
    container = checked("JPEG", hostile.filled_jpeg())
    assert len(container.content) < 3000
    assert struct.unpack(">H", container.content[:2])[0] == 0xFFD8


def test_a_transparent_colour_after_the_pixels_is_left_out() -> None:
    """Where PNG allows no tRNS chunk, none is believed: the memory that it costs must be known before decoding."""
    late = encode(Image.new("L", (8, 8)), "PNG")
    late = late[:-12] + hostile.chunk(b"tRNS", b"\0\0") + late[-12:]
    assert b"tRNS" not in checked("PNG", late).content
