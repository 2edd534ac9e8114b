"""Reads the body of an answer of Consul's within bounds: of what comes, and of what that unpacks to.

A body of 1 MB can unpack to 1 GB. It is unpacked in steps, between which the event loop goes on.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator

import aiohttp

BODY_AT_MOST_BYTES = 64 << 20
"""About 100,000 instances of one service."""

STEP_BYTES = 1 << 20
"""How much is unpacked, or made into text, at a time: a few milliseconds."""

_GZIP = 16 + zlib.MAX_WBITS


class BodyUnusable(Exception):
    """The body is too large, or not packed as its headers say; a clause says which."""


async def read_body(answer: aiohttp.ClientResponse) -> str:
    """The body as text, unpacked, of a session that does not unpack by itself. Raises BodyUnusable."""
    encoding = answer.headers.get("Content-Encoding", "identity").lower()
    if encoding not in ("identity", "gzip"):
        raise BodyUnusable(f"is packed as {encoding[:40]!r}, which was not asked for")
    received = _bounded(answer.content.iter_any())
    unpacked = received if encoding == "identity" else _bounded(_unpacked(received))
    pieces = [piece async for piece in unpacked]
    large = sum(map(len, pieces)) > STEP_BYTES
    return await asyncio.to_thread(_text, pieces) if large else _text(pieces)


def _text(pieces: list[bytes]) -> str:
    return b"".join(pieces).decode(errors="replace")


async def _bounded(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    size_bytes = 0
    async for piece in pieces:
        size_bytes += len(piece)
        if size_bytes > BODY_AT_MOST_BYTES:
            raise BodyUnusable(f"is larger than {BODY_AT_MOST_BYTES >> 20} MiB")
        yield piece


async def _unpacked(packed: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The content of a gzip stream, in pieces of at most STEP_BYTES."""
    unpacking = zlib.decompressobj(_GZIP)
    try:
        async for piece in packed:
            rest = piece
            while rest and not unpacking.eof:
                yield unpacking.decompress(rest, STEP_BYTES)
                rest = unpacking.unconsumed_tail
                if rest:
                    await asyncio.sleep(0)
    except zlib.error as error:
        raise BodyUnusable(f"is not the gzip that its headers announce ({error})") from error
    if not unpacking.eof:
        raise BodyUnusable("ends in the middle of its gzip stream")
