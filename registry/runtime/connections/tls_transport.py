"""A TLS transport that is written to in pieces, so that its protocol hears of bytes that wait to be sent.

asyncio's TLS transport, and uvloop's, encrypt all of one write and hand it to the transport below, whose buffer they do
not count: they report nothing of a large answer that the client does not read. They count what they are given once the
transport below is full.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

PIECE_BYTES = 64 << 10
"""The transport below reports that it is full above so many bytes."""


class PiecewiseTransport:
    """The TLS transport `transport`, but for writes of more than a piece; at most two pieces of it are not counted."""

    __slots__ = ("_transport",)

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send the bytes, piece by piece."""
        if len(data) <= PIECE_BYTES:
            self._transport.write(data)
            return
        view = memoryview(data)
        for at in range(0, len(view), PIECE_BYTES):
            self._transport.write(view[at : at + PIECE_BYTES])

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Send the bytes of all elements."""
        self.write(b"".join(list_of_data))
