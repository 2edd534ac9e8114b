"""The fast path of a connection: bytes of a plain `POST /` -> its response -> bytes, in one task and one write.

aiohttp's parser, stream, resolver, middleware and response cost the event loop more processor time than everything
else about a request. A plain POST of an image is therefore answered without them, by the same handler, with the same
bytes (tests/unit/worker/fast_path/test_connection.py compares them). All other requests go to aiohttp unchanged; the
connection returns to the fast path after an aiohttp request without a body, such as a health check.

`connection_factory` is the only name for use outside this package.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Any, TypeVar

from aiohttp import web
from aiohttp.http import SERVER_SOFTWARE

from registry.runtime.connections.open_connections import Connections
from registry.runtime.request_id import HEADER as REQUEST_ID
from worker.fast_path.aiohttp_connection import AiohttpConnection
from worker.fast_path.body import FastPathBody
from worker.fast_path.head_parser import Head, read_head
from worker.web.request import IncomingRequest
from worker.web.responses import CONTENT_TYPE, JsonResponse

LINGER_S = 10.0
"""The rest of the body of a refused request is discarded for this long, as aiohttp does."""

PIPELINED_BYTES = 64 << 10
"""A client that has sent more than this after an unanswered request is not read from until it is answered."""

T = TypeVar("T")
Handler = Callable[[IncomingRequest], Awaitable[JsonResponse]]


def connection_factory(
    handler: Handler, connections: Connections, **options: Any
) -> Callable[[web.Server], FastPathConnection]:
    """What makes a connection of an HTTP server; `handler` answers plain POSTs, the HTTP server all other requests.

    `connections` and `options` as for AiohttpConnection.
    """
    return lambda server: FastPathConnection(server, handler, connections, **options)


@dataclass(slots=True)
class FastPathRequest:
    """A plain POST, with the interface of `IncomingRequest`; it has room for one stored value."""

    head: Head
    content: FastPathBody
    transport: asyncio.BaseTransport | None = None
    stored: tuple[web.RequestKey[Any], Any] | None = None
    method = "POST"
    path = "/"

    @property
    def remote(self) -> str | None:
        """The IP address of the client, where it is known."""
        name = self.transport.get_extra_info("peername") if self.transport is not None else None
        return str(name[0]) if isinstance(name, tuple) else None

    @property
    def match_info(self) -> Mapping[str, str]:
        """The variables of the path, which has none."""
        return {}

    @property
    def query(self) -> Any:
        """The parameters of the query."""
        return self.head.query

    @property
    def headers(self) -> Any:
        """The headers."""
        return self.head.headers

    @property
    def content_length(self) -> int | None:
        """The length of the body in bytes."""
        return self.head.content_length

    def get(self, key: web.RequestKey[T], default: T, /) -> T:
        """What was stored with the request under this key."""
        stored = self.stored
        if stored is None or stored[0] is not key:
            return default
        value: T = stored[1]
        return value

    def __setitem__(self, key: web.RequestKey[T], value: T, /) -> None:
        """Store a value with the request, in place of another one."""
        self.stored = (key, value)


class FastPathConnection(AiohttpConnection):
    """aiohttp's connection with the fast path before it; `handler` answers plain POSTs."""

    __slots__ = ("_aiohttp_used", "_body", "_handler", "_held", "_pipelined", "_plain", "_task", "_writable")

    def __init__(self, server: web.Server, handler: Handler, connections: Connections, **options: Any) -> None:
        super().__init__(server, connections, **options)
        self._handler = handler
        self._aiohttp_used = False
        self._plain = True  # all that aiohttp was given were whole requests without a body
        self._body: FastPathBody | None = None  # of the request that is being received or answered here
        self._task: asyncio.Task[None] | None = None
        self._pipelined = b""
        self._held = False  # the client has sent too many requests ahead
        self._writable: asyncio.Future[None] | None = None

    def data_received(self, data: bytes) -> None:
        """Take bytes of a request here, or of its successors; pass those of other requests to aiohttp."""
        self.used = True
        if self._body is None:
            self._begin(data)
            return
        after = self._body.feed(data)
        if after:
            self._pipelined += after
            if len(self._pipelined) > PIPELINED_BYTES and not self._held:
                self._held = True
                self.pause_reading_client()

    def _begin(self, data: bytes) -> None:
        """Start a request here if `data` begins with a plain POST; else pass `data` to aiohttp."""
        head = read_head(data) if self._plain and self._may_begin() else None
        if head is None or head.method != "POST" or head.path != "/" or head.content_length is None:
            self._plain = head is not None and not head.content_length and head.size == len(data)
            self._aiohttp_used = True
            super().data_received(data)
            return
        self._body = FastPathBody(head.content_length, self)
        self._pipelined = self._body.feed(data[head.size :])
        self._task = self.loop.create_task(self._serve(FastPathRequest(head, self._body, self.transport)))

    def _may_begin(self) -> bool:
        return not self.closing and (not self._aiohttp_used or self.waits_for_request())

    def is_answering(self) -> bool:
        """Whether a request is being answered here."""
        return self._body is not None

    async def _serve(self, request: FastPathRequest) -> None:
        """Answer one request, then let the connection go on or end."""
        closing, unfinished = True, False
        try:
            response = await self._handler(request)
            if self.transport is not None:
                self.transport.write(_encoded(response))
                if self._writable is not None:
                    await self._writable
                request.content.discard()
                closing, unfinished = response.closing, not request.content.is_eof()
        finally:
            if unfinished:  # in another task, because the end of this one gives back what the request holds
                self._task = self.loop.create_task(self._linger(request.content, closing=closing))
            else:
                self._finish(closing=closing)

    async def _linger(self, content: FastPathBody, *, closing: bool) -> None:
        """Discard the rest of an unwanted body: closing at once could destroy the response before it is read."""
        whole = False
        try:
            whole = await content.discarded(within_s=LINGER_S)
        finally:
            self._finish(closing=closing or not whole)

    def _finish(self, *, closing: bool) -> None:
        """End the connection, or go on with the next request on it."""
        self._body = self._task = None
        if self.transport is None:
            return
        if closing or self.closing:
            self.force_close()
            return
        self.restart_idle_time()
        if self._pipelined:
            pipelined, self._pipelined = self._pipelined, b""
            self._begin(pipelined)
        if self._held and len(self._pipelined) <= PIPELINED_BYTES:
            self._held = False
            self.resume_reading_client()

    def pause_writing(self) -> None:
        """The client reads more slowly than it is answered; called by the transport."""
        super().pause_writing()
        self._writable = self.loop.create_future()

    def resume_writing(self) -> None:
        """The client has read enough; called by the transport."""
        super().resume_writing()
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    def connection_lost(self, exc: BaseException | None) -> None:
        """Cancel the request of a client that has hung up, so that its image leaves the queue."""
        super().connection_lost(exc)
        if self._task is not None:
            self._task.cancel()

    async def shutdown(self, timeout: float | None = 15.0) -> None:
        """Wait for the request that is being answered here, at most `timeout` seconds, then let aiohttp shut down."""
        self.closing = True
        try:
            async with asyncio.timeout(timeout):
                while self._task is not None:
                    await asyncio.wait([self._task])
        except TimeoutError:
            pass
        if (task := self._task) is not None:
            task.cancel()
            await asyncio.wait([task])
        await super().shutdown(timeout)


def _encoded(response: JsonResponse) -> bytes:
    """The whole response, header for header as aiohttp writes it."""
    own = request_id = ""
    if response.headers:
        sent = response.headers.pop(REQUEST_ID, None)  # which aiohttp writes last, because it comes last
        request_id = "" if sent is None else f"{REQUEST_ID}: {sent}\r\n"
        own = "".join(f"{name}: {value}\r\n" for name, value in response.headers.items())
    closing = "\r\nConnection: close" if response.closing else ""
    head = f"{_status_line(response.status)}{own}{_TYPE}{request_id}Content-Length: {len(response.body)}"
    return f"{head}\r\nDate: {_date(int(time.time()))}{_SERVER}{closing}\r\n\r\n".encode() + response.body


_TYPE = f"Content-Type: {CONTENT_TYPE}\r\n"
_SERVER = f"\r\nServer: {SERVER_SOFTWARE}"


@lru_cache
def _status_line(status: int) -> str:
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
