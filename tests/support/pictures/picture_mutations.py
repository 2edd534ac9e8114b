"""Pictures made to be expensive: files of every format with parts repeated, sizes enlarged and fields changed."""

from __future__ import annotations

import random
import re
import struct
import zlib
from collections.abc import Callable, Mapping
from itertools import pairwise
from types import MappingProxyType

from PIL import Image

from tests.support.photos import chelsea, encode

MOST_BYTES = 1_000_000

_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_SIDES = (1, 7, 64, 255, 1024, 4000, 7000, 16_383, 50_000, 65_535)


def seeds() -> list[tuple[str, bytes]]:
    """A small file of each format and of its variants, with its kind."""
    cat = Image.fromarray(chelsea()).resize((60, 40))
    frames = [cat.rotate(90), cat.rotate(180)]
    exif = Image.Exif()
    exif[0x0112] = 6
    jpegs = [
        encode(cat, "JPEG"),
        encode(cat, "JPEG", progressive=True, exif=exif, comment=b"a comment"),
        encode(cat, "JPEG", progressive=True, subsampling=0),
        encode(cat.convert("CMYK"), "JPEG", progressive=True),
        encode(cat.convert("L"), "JPEG", progressive=True),
        encode(cat, "JPEG", restart_marker_blocks=1),
    ]
    pngs = [encode(cat.convert(mode), "PNG", exif=exif) for mode in ("1", "L", "P", "LA", "RGB", "RGBA", "I;16")]
    pngs += [encode(cat, "PNG", transparency=(1, 2, 3)), encode(cat, "PNG", save_all=True, append_images=frames)]
    gifs = [encode(cat, "GIF", comment=b"a comment"), encode(cat, "GIF", save_all=True, append_images=frames)]
    bmps = [encode(cat.convert(mode), "BMP") for mode in ("1", "L", "P", "RGB", "RGBA")]
    webps = [encode(cat, "WEBP"), encode(cat.convert("RGBA"), "WEBP", lossless=True, exif=exif)]
    webps += [encode(cat, "WEBP", save_all=True, append_images=frames)]
    kinds = {"JPEG": jpegs, "PNG": pngs, "GIF": gifs, "BMP": bmps, "WebP": webps}
    return [(kind, data) for kind, files in kinds.items() for data in files]


def parts(kind: str, data: bytes) -> list[bytes]:
    """A file cut into its segments, chunks or blocks; joined they are the file again."""
    ends = [0, *_ENDS[kind](data), len(data)] if kind in _ENDS else [0, len(data)]
    return [data[begin:end] for begin, end in pairwise(ends) if end > begin]


def _jpeg_ends(data: bytes) -> list[int]:
    return [match.start() for match in _JPEG_MARKER.finditer(data)]


def _png_ends(data: bytes) -> list[int]:
    ends, at = [8], 8
    while at + 12 <= len(data):
        at += 12 + int.from_bytes(data[at : at + 4], "big")
        ends.append(min(at, len(data)))
    return ends


def _riff_ends(data: bytes) -> list[int]:
    ends, at = [12], 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + size + (size & 1)
        ends.append(min(at, len(data)))
    return ends


def _gif_ends(data: bytes) -> list[int]:
    start = 13 + (3 << ((data[10] & 7) + 1) if len(data) > 10 and data[10] & 0x80 else 0)
    return [start, *(match.start() for match in re.finditer(rb"!|,", data) if match.start() > start)]


_ENDS: Mapping[str, Callable[[bytes], list[int]]] = MappingProxyType(
    {"JPEG": _jpeg_ends, "PNG": _png_ends, "WebP": _riff_ends, "GIF": _gif_ends}
)


def mutated(kind: str, data: bytes, chance: random.Random) -> bytes:
    """The file with one to four mutations, at most `MOST_BYTES` long."""
    for _ in range(chance.randint(1, 4)):
        data = chance.choice((_repeated, _repeated, _enlarged, _enlarged, _changed, _shuffled))(kind, data, chance)
        data = data[:MOST_BYTES]
    return data


def _repeated(kind: str, data: bytes, chance: random.Random) -> bytes:
    """One part, or part of a part, many times."""
    pieces = parts(kind, data)
    place = chance.randrange(len(pieces))
    piece = pieces[place]
    if chance.random() < 0.2:
        piece = piece[: chance.randrange(len(piece)) + 1]
    room = max(1, (MOST_BYTES - len(data)) // len(piece))
    times = min(room, chance.choice((2, 10, 90, 900, 5000, room)))
    return b"".join([*pieces[:place], pieces[place], piece * times, *pieces[place + 1 :]])


def _shuffled(kind: str, data: bytes, chance: random.Random) -> bytes:
    """Two parts in each other's place."""
    pieces = parts(kind, data)
    one, other = chance.randrange(len(pieces)), chance.randrange(len(pieces))
    pieces[one], pieces[other] = pieces[other], pieces[one]
    return b"".join(pieces)


def _changed(kind: str, data: bytes, chance: random.Random) -> bytes:
    """One byte of a header, or anywhere."""
    at = chance.randrange(min(len(data), chance.choice((40, 700, len(data)))))
    changed = data[:at] + bytes([chance.choice((0, 1, 0x7F, 0xFF, chance.randrange(256)))]) + data[at + 1 :]
    return _with_checksums(changed) if kind == "PNG" else changed


def _enlarged(kind: str, data: bytes, chance: random.Random) -> bytes:
    """Another width and height in every place where the format states them."""
    width, height = chance.choice(_SIDES), chance.choice(_SIDES)
    if kind == "JPEG":
        frame = re.compile(rb"(\xff[\xc0-\xc2\xc9\xca]\0.\x08)....", re.DOTALL)
        return frame.sub(lambda found: found[1] + struct.pack(">HH", height, width), data)
    if kind == "PNG":
        return _png_of(data, width, height, chance)
    if kind == "GIF":
        data = data[:6] + struct.pack("<HH", width, height) + data[10:]
        at = data.find(b",\0\0\0\0")
        return data if at < 0 else data[: at + 5] + struct.pack("<HH", width, height) + data[at + 9 :]
    if kind == "BMP":
        data = data[:18] + struct.pack("<ii", width, chance.choice((height, -height))) + data[26:]
        bits, compression = chance.choice(((8, 1), (4, 2), (1, 0), (8, 0), (24, 0)))
        return data[:28] + struct.pack("<HI", bits, compression) + data[34:] if chance.random() < 0.6 else data
    return _webp_of(data, min(width, 16_383), min(height, 16_383))


def _png_of(data: bytes, width: int, height: int, chance: random.Random) -> bytes:
    """A PNG header of that size, and as many zeros as pixels where that is not too much to pack."""
    depth, colour = chance.choice(((8, 0), (1, 0), (16, 0), (8, 2), (16, 2), (8, 3), (8, 4), (8, 6), (16, 6)))
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    row, interlaced = 1 + (width * channels * depth + 7) // 8, chance.random() < 0.3
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    pixels = zlib.compress(bytes(min(row * height, 60_000_000)), 1) if width * height <= 30_000_000 else b""
    body = [b"\0\0\0\r" + header + bytes(4)] + [piece for piece in parts("PNG", data)[2:] if piece[4:8] != b"IDAT"]
    body.insert(1, struct.pack(">I", len(pixels)) + b"IDAT" + pixels + bytes(4))
    return _with_checksums(data[:8] + b"".join(body))


def _with_checksums(data: bytes) -> bytes:
    pieces = parts("PNG", data)
    return b"".join(
        [
            *pieces[:1],
            *(each[:-4] + zlib.crc32(each[4:-4]).to_bytes(4, "big") for each in pieces[1:] if len(each) >= 12),
        ]
    )


def _webp_of(data: bytes, width: int, height: int) -> bytes:
    if data[12:16] == b"VP8X":
        return data[:24] + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little") + data[30:]
    if data[12:16] == b"VP8 ":
        return data[:26] + struct.pack("<HH", width, height) + data[30:]
    return data[:21] + struct.pack("<I", (width - 1) | (height - 1) << 14) + data[25:]
