"""A road of their own for plain POSTs of images: bytes of a connection -> what `POST /` answers -> bytes, in one task.

The framework's parser, stream, resolver, middleware and response cost a worker more processor time than the rest of
a request to the event loop. So whoever posts an image as everybody does is answered without them, by the same
code behind, and with the same bytes (tests/property/test_road.py). All else goes to aiohttp unchanged, and a
connection comes back from it after a request without a body, such as a check of health.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import SERVER_SOFTWARE

from worker.fast_path.aiohttp_connection import Connection
from worker.fast_path.body import Incoming
from worker.fast_path.head_parser import Head, read_head
from worker.web.request import Asked
from worker.web.responses import CONTENT_TYPE, Answer

LINGER_S = 10.0
"""What is left of a body whose request was refused is thrown away for so long; aiohttp does the same."""

BEHIND_BYTES = 64 << 10
"""A client that sends so much behind a request before it is answered is not read from until then."""

Answering = Callable[[Asked], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class PlainPost:
    """A plain request as the protocols see it."""

    head: Head
    content: Incoming
    method = "POST"
    path = "/"

    @property
    def query(self) -> Any:
        """What stands behind the question mark."""
        return self.head.query

    @property
    def headers(self) -> Any:
        """The headers."""
        return self.head.headers

    @property
    def content_length(self) -> int | None:
        """How many bytes the body has."""
        return self.head.content_length


class Road(Connection):
    """aiohttp's connection with the plain road before it; `answering` is what answers a plain POST."""

    __slots__ = ("_answering", "_behind", "_held", "_incoming", "_plain", "_task")

    def __init__(self, server: web.Server, answering: Answering, **options: Any) -> None:
        super().__init__(server, **options)
        self._answering = answering
        self._plain = True  # all that aiohttp was given were whole requests
        self._incoming: Incoming | None = None  # the body of ours that is being received or answered
        self._task: asyncio.Task[None] | None = None
        self._behind = b""
        self._held = False  # the client sends too far ahead

    def data_received(self, data: bytes) -> None:
        """Bytes of a request of ours, the beginning of one, or aiohttp's."""
        if self._incoming is None:
            self._begin(data)
            return
        behind = self._incoming.feed(data)
        if behind:
            self._behind += behind
            if len(self._behind) > BEHIND_BYTES and not self._held:
                self._held = True
                self._pause_transport_reading()

    def _begin(self, data: bytes) -> None:
        """What comes where no request of ours is under way."""
        head = read_head(data) if self._plain and self._at_rest() else None
        if head is None or head.method != "POST" or head.path != "/" or head.content_length is None:
            self._plain = head is not None and not head.content_length and head.size == len(data)
            super().data_received(data)
            return
        self._incoming = Incoming(head.content_length, self)
        self._behind = self._incoming.feed(data[head.size :])
        self._request_in_progress = True
        self._task = self._loop.create_task(self._serve(PlainPost(head, self._incoming)))

    def _at_rest(self) -> bool:
        """Whether aiohttp waits for a request, as it does from the start."""
        if self._close or self._force_close:
            return False
        return self._request_count == 0 if self._waiter is None else not self._waiter.done()

    async def _serve(self, asked: PlainPost) -> None:
        """Answer one request, and let the connection go on or end."""
        closing, unsent = True, False
        try:
            answer = await self._answering(asked)
            if self.transport is not None:
                self.transport.write(_written(answer))
                if self._paused:
                    await self._drain_helper()
                asked.content.drop()
                closing, unsent = answer.closing, not asked.content.is_eof()
        finally:
            if unsent:  # in a task of its own: what this request held is given back with the end of its task
                self._task = self._loop.create_task(self._linger(asked.content, closing=closing))
            else:
                self._ended(closing=closing)

    async def _linger(self, content: Incoming, *, closing: bool) -> None:
        """Let the sender of an unwanted body come to its end: closing at once could destroy the answer on its way."""
        whole = False
        try:
            whole = await content.dropped(within_s=LINGER_S)
        finally:
            self._ended(closing=closing or not whole)

    def _ended(self, *, closing: bool) -> None:
        self._incoming = self._task = None
        self._request_in_progress = False
        if self._handler_waiter is not None and not self._handler_waiter.done():
            self._handler_waiter.set_result(None)
        if self.transport is None:
            return
        if closing or self._close or self._force_close:
            self.force_close()
            return
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self._held:
            self._held = False
            self._resume_transport_reading()
        if self._behind:
            behind, self._behind = self._behind, b""
            self._begin(behind)

    def _process_keepalive(self) -> None:
        """aiohttp's timer for idle connections: one that is being answered here is not idle."""
        if self._incoming is not None:
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        super()._process_keepalive()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client has hung up: its request leaves the queue, too."""
        super().connection_lost(exc)
        if self._task is not None:
            self._task.cancel()

    async def shutdown(self, timeout: float | None = 15.0) -> None:
        """Wait for a request of ours as aiohttp does for its own, so many seconds at most."""
        await super().shutdown(timeout)
        if (task := self._task) is not None:
            task.cancel()
            await asyncio.wait([task])


def roads(server: web.Server, answering: Answering, **options: Any) -> Callable[[], Road]:
    """What `loop.create_server` wants: a new protocol for each connection."""
    loop = asyncio.get_running_loop()
    return lambda: Road(server, answering, loop=loop, **options)


def _written(answer: Answer) -> bytes:
    """The whole response, header for header as aiohttp writes it."""
    ours = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
    closing = "\r\nConnection: close" if answer.closing else ""
    head = f"{_status_line(answer.status)}{ours}{_FIXED}{len(answer.body)}\r\nDate: {rfc822_formatted_time()}{_SERVER}"
    return f"{head}{closing}\r\n\r\n".encode() + answer.body


_FIXED = f"Content-Type: {CONTENT_TYPE}\r\nContent-Length: "
_SERVER = f"\r\nServer: {SERVER_SOFTWARE}"


@lru_cache
def _status_line(status: int) -> str:
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
