"""A request's body on its way from a client to a worker: read only as fast as the worker takes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web
from aiohttp.http import HttpVersion11

CONTINUE_AFTER_S = 1.0
"""A worker that neither asks for the body nor refuses it in this time is sent it; curl waits as long."""


class Idle:
    """An alarm that goes off when for `limit_s` nothing has moved, in either direction."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._loop = asyncio.get_running_loop()
        self.alarm = asyncio.timeout(limit_s)

    def moved(self) -> None:
        """Something moved: the time begins anew."""
        if not self.alarm.expired():
            self.alarm.reschedule(self._loop.time() + self._limit_s)


class Upload:
    """The body of `request`.

    `begun` says whether any of it was taken to be forwarded, `awaited` whether the client is being waited for
    right now.
    """

    def __init__(self, request: web.BaseRequest, idle: Idle) -> None:
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
    def unasked(self) -> bool:
        """Whether the client still waits to be asked for the body."""
        return self.expects and not self._asked

    @property
    def repeatable(self) -> bool:
        """Whether the request may go to another worker after one broke off: a body is there, none of it sent.

        No worker can have acted on a request that it got only the head of.
        """
        return self.exists and not self.begun

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body, piece by piece; the first piece is asked for when the worker is ready for it."""
        if self.unasked:
            self._asked = True
            await self._request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._request.writer.output_size = 0  # aiohttp's sign that no answer was begun
        if not self._request.content.total_bytes:
            yield b""  # lets the head go; aiohttp would hold it back until there is a body to go with it
        while chunk := await self._read():
            self._idle.moved()
            self.begun = True
            yield chunk
        self._idle.moved()

    async def _read(self) -> bytes:
        # The lock lets the reader of an attempt that failed go before the next one reads.
        async with self._reading:
            self.awaited = True
            try:
                return await self._request.content.readany()
            finally:
                self.awaited = False


class PatientResponse(aiohttp.ClientResponse):
    """An answer that waits for `100 Continue` only so long before it lets the body be sent (RFC 9110, 10.1.1).

    aiohttp by itself waits for ever, and some servers never send it.
    """

    async def start(self, connection: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
        """Wait for the answer's head."""
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
