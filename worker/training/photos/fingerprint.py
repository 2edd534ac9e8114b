"""Pixels -> a fingerprint, and fingerprints -> pairs of near-duplicates; pure.

A near-duplicate is the same photo in another size, format, compression or slightly other brightness. Two steps find
it: a perceptual hash (dHash, of rows and of columns: 128 bits that say which of two neighbouring places is brighter)
differs in few bits, and then the colours of a small version differ by little in relation to the photo's contrast.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_EDGE = 8  # the hash has 8 x 8 comparisons in each direction
_SMALL = 12  # the small version has 12 x 12 pixels
_HASH_BYTES = 2 * _EDGE * _EDGE // 8

FINGERPRINT_BYTES = _HASH_BYTES + 3 * _SMALL * _SMALL
"""The length of a fingerprint."""

MOST_BITS = 12
"""Of 128 bits: as many may differ between near-duplicates."""

_LEVELS, _OF_CONTRAST = 1.5, 0.04  # how far the small versions' colours may be apart, on average
_COMPARED = 4_000_000  # pairs at a time: 32 MB


def fingerprint(pixels: NDArray[np.uint8]) -> bytes:
    """The hash and the small version of an image, uint8 [height, width, 3]."""
    image = Image.fromarray(pixels)
    grey = np.asarray(image.convert("L").resize((_EDGE + 1, _EDGE + 1), Image.Resampling.BOX), np.int16)
    across = grey[:_EDGE, 1:] > grey[:_EDGE, :-1]
    down = grey[1:, :_EDGE] > grey[:-1, :_EDGE]
    small = np.asarray(image.resize((_SMALL, _SMALL), Image.Resampling.BOX))
    return np.packbits(np.stack([across, down])).tobytes() + small.tobytes()


def near_duplicates(fingerprints: Sequence[bytes]) -> list[tuple[int, int]]:
    """The pairs (i, j), i < j, of fingerprints of near-duplicates; equal fingerprints count, too."""
    if len(fingerprints) < 2:
        return []
    whole = np.frombuffer(b"".join(fingerprints), np.uint8).reshape(len(fingerprints), FINGERPRINT_BYTES)
    hashes = np.ascontiguousarray(whole[:, :_HASH_BYTES]).view(np.uint64)
    small = whole[:, _HASH_BYTES:].astype(np.float32)
    contrast = small.std(axis=1)
    found: list[tuple[int, int]] = []
    for one, other in _close_hashes(hashes):
        apart = np.abs(small[one] - small[other]).mean(axis=1)
        near = apart <= _LEVELS + _OF_CONTRAST * np.minimum(contrast[one], contrast[other])
        # Of a photo without contrast nothing but its colour is known, so that only equal ones count.
        near &= (np.minimum(contrast[one], contrast[other]) > _LEVELS) | (apart == 0)
        found += zip(one[near].tolist(), other[near].tolist(), strict=True)
    return found


def _close_hashes(hashes: NDArray[np.uint64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Indices (i, j), i < j, of hashes that differ in at most `MOST_BITS` bits, some rows of pairs at a time."""
    at_a_time = max(1, _COMPARED // len(hashes))
    for start in range(0, len(hashes), at_a_time):
        rows, others = hashes[start : start + at_a_time], hashes[start:]
        bits = np.zeros((len(rows), len(others)), np.uint8)
        for word in range(hashes.shape[1]):
            bits += np.bitwise_count(rows[:, word, None] ^ others[None, :, word])
        one, other = np.nonzero(bits <= MOST_BITS)
        later = other > one
        yield one[later] + start, other[later] + start
