"""The body of one plain request on its way in: bytes of a connection -> what its reader asks for.

It knows its length from the start. A reader that falls behind holds its sender up, and one that has given up lets
the rest be thrown away as it comes.
"""

from __future__ import annotations

import asyncio

from aiohttp.base_protocol import BaseProtocol

UNREAD_BYTES = 128 << 10
"""A connection whose body lies here unread to this extent is not read from until it was taken."""


class Incoming:
    """A body of `length` bytes that comes over `connection`."""

    __slots__ = ("_arrived", "_connection", "_dropping", "_left", "_paused", "_pieces", "_unread")

    def __init__(self, length: int, connection: BaseProtocol) -> None:
        self._left = length
        self._connection = connection
        self._pieces: list[bytes] = []
        self._unread = 0
        self._paused = False
        self._dropping = False
        self._arrived: asyncio.Future[None] | None = None

    def feed(self, data: bytes) -> bytes:
        """Take what belongs to this body; what is behind it is given back."""
        mine, rest = (data, b"") if len(data) <= self._left else (data[: self._left], data[self._left :])
        if not mine:
            return rest
        self._left -= len(mine)
        if not self._dropping:
            self._pieces.append(mine)
            self._unread += len(mine)
            if self._unread > UNREAD_BYTES and self._left and not self._paused:
                self._paused = True
                self._connection._pause_transport_reading()
        if self._arrived is not None and not self._arrived.done() and not (self._dropping and self._left):
            self._arrived.set_result(None)
        return rest

    def is_eof(self) -> bool:
        """Whether the last byte of it has come, read or not."""
        return not self._left

    def read_nowait(self) -> bytes:
        """What has come and was not read yet; b"" if that is nothing."""
        pieces, self._pieces, self._unread = self._pieces, [], 0
        if self._paused:
            self._paused = False
            self._connection._resume_transport_reading()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def readany(self) -> bytes:
        """The next bytes, waited for; b"" at the end."""
        if not self._pieces and self._left:
            await self._more()
        return self.read_nowait()

    def drop(self) -> None:
        """Nobody wants the rest: from now on it is thrown away as it comes."""
        self._dropping = True
        self.read_nowait()

    async def dropped(self, *, within_s: float) -> bool:
        """Wait for the end of what is thrown away; whether it came in time."""
        try:
            async with asyncio.timeout(within_s):
                if self._left:  # or it has come since it was found missing
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
