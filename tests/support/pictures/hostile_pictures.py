"""Pictures of few bytes that once cost a decoder seconds or gigabytes, each built from its description."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Mapping
from types import MappingProxyType

from PIL import Image

from tests.support.photos import chelsea, encode


def tall_rle_bmp(*, pixels: int = 50_000_000) -> bytes:
    """A BMP of 1,084 bytes, one row of `pixels` in RLE8: a pixel, then the end of the line."""
    header = struct.pack("<IiiHHIIiiII", 40, pixels, 1, 1, 8, 1, 6, 0, 0, 256, 0)
    palette = b"".join(bytes((value, 255 - value, 7, 0)) for value in range(256))
    data = b"\x01\x05\0\0\0\x01"
    start = 14 + len(header) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + header + palette + data


def rle4_bmp(*, width: int, height: int) -> bytes:
    """A BMP in RLE4 whose runs of 255 pixels fill every row."""
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 4, 2, 0, 0, 0, 16, 0)
    palette = b"".join(bytes((value, 255 - value, 7, 0)) for value in range(16))
    row = b"\xff\x12" * (width // 255) + bytes((width % 255, 0x12)) * (width % 255 > 0) + b"\0\0"
    start = 14 + len(header) + len(palette)
    return b"BM" + struct.pack("<IHHI", start, 0, 0, start) + header + palette + row * height + b"\0\x01"


def segment(marker: int, payload: bytes) -> bytes:
    """A JPEG segment."""
    return bytes((0xFF, marker)) + struct.pack(">H", len(payload) + 2) + payload


def jpeg_with(inserted: bytes) -> bytes:
    """A small JPEG with these bytes after its first marker."""
    small = encode(Image.fromarray(chelsea()).resize((60, 40)), "JPEG")
    return small[:2] + inserted + small[2:]


def empty_scans(*, scans: int = 5400, width: int = 20_000, height: int = 2500) -> bytes:
    """A progressive JPEG in which each scan says of all blocks that nothing of them changes."""
    tables = b"".join(
        segment(0xC4, bytes([kind << 4]) + bytes([0, 0, 0, 15, *[0] * 12]) + bytes(range(0, 0xF0, 0x10)))
        for kind in (1,)
    )
    tables += segment(0xC4, bytes([0, 1, *[0] * 15, 0]))
    frame = segment(0xC2, struct.pack(">BHHB", 8, height, width, 1) + b"\x01\x11\0")
    blocks = -(-width // 8) * -(-height // 8)
    first = segment(0xDA, b"\x01\x01\0\0\0\0") + b"\0" * (-(-blocks // 8))
    runs, left = "", blocks
    while left:
        power = min(left.bit_length() - 1, 14)
        run = min(left, (2 << power) - 1)
        runs += f"{power:04b}" + (f"{run - (1 << power):0{power}b}" if power else "")
        left -= run
    runs += "1" * (-len(runs) % 8)
    coded = int(runs, 2).to_bytes(len(runs) // 8, "big").replace(b"\xff", b"\xff\0")
    scan = segment(0xDA, b"\x01\x01\0\x01\x3f\0") + coded
    return b"\xff\xd8" + segment(0xDB, b"\0" + b"\x01" * 64) + tables + frame + first + scan * scans + b"\xff\xd9"


def refining_scans(*, scans: int, width: int, height: int) -> bytes:
    """The same with scans that look at every coefficient of every block again."""
    plain = empty_scans(scans=scans, width=width, height=height)
    return plain.replace(b"\x01\x01\0\x01\x3f\0", b"\x01\x01\0\x01\x3f\x10")


def exif_in_pieces(*, size_bytes: int = 8_000_000) -> bytes:
    """A JPEG whose EXIF data come in pieces of 10 bytes, a segment for each."""
    return jpeg_with(segment(0xE1, b"Exif\0\0II*\0") * (size_bytes // 14))


def empty_segments(*, size_bytes: int = 8_000_000) -> bytes:
    """A JPEG of application segments that hold nothing."""
    return jpeg_with(segment(0xE5, b"") * (size_bytes // 4))


def photoshop_blocks(*, size_bytes: int = 1_000_000) -> bytes:
    """A JPEG of Photoshop segments full of empty resource blocks."""
    block = b"8BIM" + struct.pack(">HBBI", 1, 0, 0, 0)
    one = segment(0xED, b"Photoshop 3.0\0" + block * 5000)
    return jpeg_with(one * max(1, size_bytes // len(one)))


def filled_jpeg(*, size_bytes: int = 1_000_000) -> bytes:
    """A JPEG with fill bytes before its first segment."""
    return jpeg_with(b"\xff" * size_bytes)


def chunk(kind: bytes, content: bytes) -> bytes:
    """A PNG chunk."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_with(inserted: bytes, *, at: int = 33) -> bytes:
    """A small PNG with these bytes after its header."""
    small = encode(Image.fromarray(chelsea()).resize((60, 40)), "PNG")
    return small[:at] + inserted + small[at:]


def profile_chunks(*, size_bytes: int = 33_000_000) -> bytes:
    """A PNG of colour profiles of which each unpacks to a megabyte."""
    one = chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(1 << 20), 9))
    return png_with(one * (size_bytes // len(one)))


def empty_data_chunks(*, size_bytes: int = 1_000_000) -> bytes:
    """A PNG that begins with data chunks that hold nothing."""
    return png_with(chunk(b"IDAT", b"") * (size_bytes // 12))


def blank_png(*, width: int = 7000, height: int = 7000, colour: int = 6, depth: int = 16) -> bytes:
    """A PNG of nothing but zeros; colour type and depth as in its header."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    row = bytes(1 + (width * channels * depth + 7) // 8)
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    palette = chunk(b"PLTE", bytes(768)) if colour == 3 else b""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + palette + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def comment_blocks(*, size_bytes: int = 32_000_000) -> bytes:
    """A GIF with a comment of blocks of one byte."""
    small = encode(Image.fromarray(chelsea()).resize((60, 40)), "GIF")
    start = 13 + (3 << ((small[10] & 7) + 1) if small[10] & 0x80 else 0)
    return small[:start] + b"!\xfe" + b"\x01a" * (size_bytes // 2) + b"\0" + small[start:]


def blank(kind: str, *, width: int = 7000, height: int = 7000, mode: str = "RGB", **options: object) -> bytes:
    """A picture of one colour, by Pillow's writer."""
    out = io.BytesIO()
    Image.new(mode, (width, height)).save(out, kind, **options)
    return out.getvalue()


_PACKED = zlib.compress(b"\n" * (1 << 20), 9)

NAMED_IN_THE_ISSUE: Mapping[str, Callable[[], bytes]] = MappingProxyType(
    {
        "RLE BMP, 50 million x 1": tall_rle_bmp,
        "progressive JPEG of empty scans": empty_scans,
        "JPEG with EXIF in pieces of 10 bytes": exif_in_pieces,
        "PNG of iCCP chunks": profile_chunks,
        "GIF of 1-byte comment blocks": comment_blocks,
        "JPEG of empty APP segments": empty_segments,
    }
)
"""The pictures that were found, with the sizes at which they were measured."""

FOUND_LATER: Mapping[str, Callable[[], bytes]] = MappingProxyType(
    {
        "JPEG of Photoshop blocks": photoshop_blocks,
        "JPEG with 1 MB of fill bytes": filled_jpeg,
        "PNG of empty IDAT chunks": empty_data_chunks,
        "RLE4 BMP, 7000 x 7000": lambda: rle4_bmp(width=7000, height=7000),
        "blank PNG, 7000 x 7000, 16 bits RGBA": blank_png,
        "blank WebP, 7000 x 7000": lambda: blank("WEBP", lossless=True, method=0),
        "blank progressive JPEG, 7000 x 7000, CMYK": lambda: blank("JPEG", mode="CMYK", progressive=True),
        "blank GIF, 7000 x 7000": lambda: blank("GIF", mode="P"),
    }
)
"""Further pictures of the same kind: a megabyte or less."""

AT_THE_LIMIT: Mapping[str, Callable[[], bytes]] = MappingProxyType(
    {
        "RLE BMP, 2.1 million x 1": lambda: tall_rle_bmp(pixels=2_100_000),
        "RLE4 BMP, 1920 x 1080": lambda: rle4_bmp(width=1920, height=1080),
        "RLE BMP of a million line ends": lambda: tall_rle_bmp(pixels=2_100_000)[:-6] + bytes(990_000),
        "blank WebP, 3800 x 3800": lambda: blank("WEBP", width=3800, height=3800, lossless=True, method=0),
        "blank PNG, 5200 x 5200, 16 bits RGBA": lambda: blank_png(width=5200, height=5200),
        "blank GIF, 6400 x 6400": lambda: blank("GIF", width=6400, height=6400, mode="P"),
        "JPEG, 5 scans of 50 megapixels": lambda: empty_scans(scans=4),
        "JPEG of 100 refining scans": lambda: refining_scans(scans=98, width=2800, height=800),
        "progressive JPEG, 25 megapixels": lambda: blank("JPEG", width=5000, height=5000, progressive=True),
        "PNG of texts": lambda: png_with(chunk(b"zTXt", b"Raw profile type exif\0\0" + _PACKED) * 900),
    }
)
"""Pictures that are taken, and cost as much as the limits allow; each a megabyte or less."""
