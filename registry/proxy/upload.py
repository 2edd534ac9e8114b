"""Streams a request's body from the client to a worker, reading only as fast as the worker takes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web
from aiohttp.http import HttpVersion11

CONTINUE_AFTER_S = 1.0
"""After so long the body is sent to a worker that has neither asked for it nor refused it; curl waits as long."""


class IdleTimeout:
    """A timeout that expires when no byte has moved, in either direction, for `limit_s`."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._loop = asyncio.get_running_loop()
        self.timeout = asyncio.timeout(limit_s)

    def moved(self) -> None:
        """Bytes have moved: start the time again."""
        if not self.timeout.expired():
            self.timeout.reschedule(self._loop.time() + self._limit_s)


class Upload:
    """The body of `request`.

    `begun` says whether any of it was read for forwarding, `awaited` whether the proxy waits for the client right now.
    """

    def __init__(self, request: web.BaseRequest, idle: IdleTimeout) -> None:
        self.exists = request.body_exists
        self.expects = (
            self.exists
            and request.version >= HttpVersion11
            and request.headers.get("Expect", "").lower() == "100-continue"
        )
        self.begun = False
        self.awaited = False
        self._request = request
        self._idle = idle
        self._asked = False
        self._reading = asyncio.Lock()

    @property
    def not_asked_for(self) -> bool:
        """Whether the client still waits for `100 Continue` before it sends the body."""
        return self.expects and not self._asked

    @property
    def repeatable(self) -> bool:
        """Whether the request may go to another worker after a connection was lost: it has a body, none of it sent.

        No worker can have acted on a request of which it got only the head.
        """
        return self.exists and not self.begun

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body, piece by piece; the client is asked for the first piece once the worker is ready for it."""
        if self.not_asked_for:
            self._asked = True
            await self._request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._request.writer.output_size = 0  # by this aiohttp knows that no answer was begun
        if not self._request.content.total_bytes:
            yield b""  # makes aiohttp send the head now, which it would hold back until a part of the body comes
        while chunk := await self._read():
            self._idle.moved()
            self.begun = True
            yield chunk
        self._idle.moved()

    async def _read(self) -> bytes:
        # The lock makes the next attempt wait until the reader of the failed one has ended.
        async with self._reading:
            self.awaited = True
            try:
                return await self._request.content.readany()
            finally:
                self.awaited = False


class ContinueTimeoutResponse(aiohttp.ClientResponse):
    """A response that waits for `100 Continue` for a limited time before the body is sent (RFC 9110, 10.1.1).

    aiohttp by itself waits for ever, and some servers never send it.
    """

    async def start(self, connection: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
        """Wait for the head of the answer."""
        if self._continue is None:
            return await super().start(connection)
        timer = self._loop.call_later(CONTINUE_AFTER_S, self._go_on)
        try:
            return await super().start(connection)
        finally:
            timer.cancel()

    def _go_on(self) -> None:
        if self._continue is not None and not self._continue.done():
            self._continue.set_result(True)
