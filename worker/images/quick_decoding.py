"""The first bytes of an image -> whether its decoding takes a few milliseconds at most.

Such an image may be decoded by the thread that predicts it, for which others then hardly wait. Only the header of a
baseline JPEG promises that; every other image is left to the threads that decode.
"""

from __future__ import annotations

BYTES_AT_MOST = 512 << 10
PIXELS_AT_MOST = 1_100_000
"""1 megapixel takes 3 ms."""

SEGMENTS_AT_MOST = 24
"""Before the frame header; cameras and editors write about ten."""

_JPEG = b"\xff\xd8\xff"
_BASELINE_FRAMES = frozenset({0xC0, 0xC1})
_FRAMES_OR_SCAN = frozenset({*range(0xC0, 0xD0), 0xDA}) - {0xC4, 0xC8, 0xCC}


def decodes_quickly(data: bytes) -> bool:
    """Whether `data` is a small file that says that it is a small baseline JPEG (ITU T.81 section B.2.2)."""
    if len(data) > BYTES_AT_MOST or not data.startswith(_JPEG):
        return False
    at = 2
    for _ in range(SEGMENTS_AT_MOST):
        if at + 9 > len(data) or data[at] != 0xFF:
            return False
        code = data[at + 1]
        if code in _FRAMES_OR_SCAN:
            height, width = int.from_bytes(data[at + 5 : at + 7], "big"), int.from_bytes(data[at + 7 : at + 9], "big")
            return code in _BASELINE_FRAMES and height * width <= PIXELS_AT_MOST
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return False
