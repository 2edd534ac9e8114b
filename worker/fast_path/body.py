"""The body of one fast-path request while it arrives: bytes of a connection -> pieces for its reader.

Its length is known from the start. The connection is not read from while a reader falls behind, and the rest of a
body that nobody wants is discarded as it arrives.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

UNREAD_BYTES = 128 << 10
"""A connection is not read from while more of its body than this waits to be read."""


class Connection(Protocol):
    """The flow control of a connection."""

    def pause_reading_client(self) -> None:
        """Take no more bytes from the client for now."""

    def resume_reading_client(self) -> None:
        """Take bytes from the client again."""


class FastPathBody:
    """A body of `length` bytes that arrives over `connection`."""

    __slots__ = ("_arrived", "_connection", "_discarding", "_left", "_paused", "_pieces", "_unread")

    def __init__(self, length: int, connection: Connection) -> None:
        self._left = length
        self._connection = connection
        self._pieces: list[bytes] = []
        self._unread = 0
        self._paused = False
        self._discarding = False
        self._arrived: asyncio.Future[None] | None = None

    def feed(self, data: bytes) -> bytes:
        """Take the bytes that belong to this body; returns those after it."""
        mine, rest = (data, b"") if len(data) <= self._left else (data[: self._left], data[self._left :])
        if not mine:
            return rest
        self._left -= len(mine)
        if not self._discarding:
            self._pieces.append(mine)
            self._unread += len(mine)
            if self._unread > UNREAD_BYTES and self._left and not self._paused:
                self._paused = True
                self._connection.pause_reading_client()
        if self._arrived is not None and not self._arrived.done() and not (self._discarding and self._left):
            self._arrived.set_result(None)
        return rest

    def is_eof(self) -> bool:
        """Whether its last byte has arrived, read or not."""
        return not self._left

    def read_nowait(self) -> bytes:
        """The bytes that have arrived and were not read yet; b"" if there are none."""
        pieces, self._pieces, self._unread = self._pieces, [], 0
        if self._paused:
            self._paused = False
            self._connection.resume_reading_client()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def readany(self) -> bytes:
        """Wait for the next bytes; b"" at the end."""
        if not self._pieces and self._left:
            await self._more()
        return self.read_nowait()

    def discard(self) -> None:
        """Throw away what has arrived and was not read, and the rest as it arrives."""
        self._discarding = True
        self.read_nowait()

    async def discarded(self, *, within_s: float) -> bool:
        """Wait until the rest has been discarded; whether it arrived in time."""
        try:
            async with asyncio.timeout(within_s):
                if self._left:  # or it has arrived since the caller looked
                    await self._more()
        except TimeoutError:
            return False
        return True

    async def _more(self) -> None:
        self._arrived = asyncio.get_running_loop().create_future()
        try:
            await self._arrived
        finally:
            self._arrived = None
