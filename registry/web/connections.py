"""The open connections of one HTTP server, within bounds: their number, and what waits to be sent on them.

Each connection takes a file descriptor, of which a process has a limited number. When there are too many, the one
that has been idle for longest gives way to the new one, so that idle clients keep nobody out. Descriptors are kept
aside for what else the process has to open, such as the connections to Consul.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Callable
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from registry.runtime.accept_queue import stop_accepting
from registry.runtime.race import event_within
from registry.web.unsent import STALLED_AFTER_S, Unsent, connections_to_end, next_unsent

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
"""How often what waits to be sent is looked at."""

DRAIN_S = 0.1
"""How long requests that are on their way when the server stops are still answered."""

CONNECTIONS_AT_LEAST = 32
"""Connections that are accepted however low the limit of open files is."""


def connections_at_most(open_files: int, *, aside: int, files_per_connection: int = 1) -> int:
    """How many connections fit into `open_files`, where `aside` of them are kept for other things."""
    return max(CONNECTIONS_AT_LEAST, (open_files - aside) // files_per_connection)


class Connections:
    """The connections of one server, `at_most` at a time."""

    def __init__(self, *, at_most: int) -> None:
        self.draining = False
        self._at_most = at_most
        self._open: dict[BoundedConnection, None] = {}
        self._unsent: dict[BoundedConnection, Unsent[BoundedConnection]] = {}
        self._none_left = asyncio.Event()

    def opened(self, connection: BoundedConnection) -> None:
        """Take up a new connection; an idle one, or else the new one, ends if there are too many."""
        if len(self._open) >= self._at_most:
            given_up = self._idle_for_longest()
            if given_up is None:
                connection.force_close()
                return
            del self._open[given_up]
            given_up.force_close()
        self._open[connection] = None
        self._none_left.clear()

    def closed(self, connection: BoundedConnection) -> None:
        """Forget a connection that has ended."""
        self._open.pop(connection, None)
        self._unsent.pop(connection, None)
        if not self._open:
            self._none_left.set()

    async def watch(self) -> None:
        """End connections whose clients do not read, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self.end_unread(loop.time())

    def end_unread(self, now_s: float) -> None:
        """Look at what waits to be sent on each connection, and end those that hold too much of it for too long."""
        self._unsent = {
            connection: next_unsent(
                self._unsent.get(connection),
                connection,
                size_bytes=size_bytes,
                taken_bytes=connection.taken_bytes(),
                now_s=now_s,
            )
            for connection in self._open
            if (size_bytes := connection.unsent_bytes())
        }
        ended = connections_to_end(self._unsent.values(), now_s=now_s)
        for connection in ended:
            connection.abort()
        if ended:
            logger.info("%d connections end: their clients did not read for %g s.", len(ended), STALLED_AFTER_S)

    async def drain(
        self, server: asyncio.Server, listener: socket.socket, protocols: Callable[[], BoundedConnection]
    ) -> None:
        """Stop accepting, and answer the requests that are on their way; each response closes its connection."""
        self.draining = True
        for connection in self._open:
            connection.begin_draining()
        await stop_accepting(server, listener, protocols)
        if self._open:
            await event_within(self._none_left, DRAIN_S)

    def _idle_for_longest(self) -> BoundedConnection | None:
        """An idle connection that was not used since the last search, or else one that was; None without any."""
        for _ in range(2 * len(self._open)):
            connection = next(iter(self._open))
            if connection.idle and not connection.used:
                return connection
            connection.used = False
            del self._open[connection]
            self._open[connection] = None
        return None


class BoundedConnection(web.RequestHandler):
    """aiohttp's handler of one connection, which is one of `connections`. `used`: something came on it."""

    __slots__ = ("_connections", "used")

    def __init__(self, server: web.Server, connections: Connections, **options: Any) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **options)
        self._connections = connections
        self.used = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take up the connection."""
        super().connection_made(transport)
        self._connections.opened(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the connection."""
        self._connections.closed(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Hand what came to aiohttp."""
        self.used = True
        super().data_received(data)

    def begin_draining(self) -> None:
        """From now on responses close the connection."""

    @property
    def draining(self) -> bool:
        """Whether the server answers only what is on its way."""
        return self._connections.draining

    @property
    def idle(self) -> bool:
        """Whether no request is being answered."""
        return not (self._request_in_progress or self._messages or self.unsent_bytes())

    def unsent_bytes(self) -> int:
        """How many bytes wait to be handed to the kernel."""
        return 0 if self.transport is None else self.transport.get_write_buffer_size()

    def taken_bytes(self) -> int:
        """A number that grows with each byte that the client has acknowledged."""
        assert self.transport is not None, "something waits to be sent"
        return _acknowledged_bytes(self.transport.get_extra_info("socket"), otherwise=-self.unsent_bytes())

    def abort(self) -> None:
        """End the connection without sending what waits."""
        if self.transport is not None:
            self.transport.abort()


_ACKNOWLEDGED_OFFSET = 120
"""Where tcpi_bytes_acked stands in Linux's struct tcp_info (tcp(7), since Linux 4.1)."""


def _acknowledged_bytes(sock: socket.socket, *, otherwise: int) -> int:
    """What the other end has acknowledged; `otherwise` on a system or a socket that does not tell.

    The kernel takes up to megabytes for a client that does not read, and hands nothing over for minutes where one reads
    slowly: neither is seen in what waits on our side.
    """
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ACKNOWLEDGED_OFFSET + 8)
        return int(struct.unpack_from("=Q", info, _ACKNOWLEDGED_OFFSET)[0])
    except (OSError, AttributeError, struct.error):
        return otherwise


@web.middleware
async def one_answer_at_a_time(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Begin no answer while the last one on the connection is not read: a client may send requests without reading."""
    await request.writer.drain()
    return await handler(request)


async def close_while_draining(request: web.Request, response: web.StreamResponse) -> None:
    """A signal handler: while the server drains, responses close the connection so that clients stop sending here."""
    protocol = request.protocol
    if isinstance(protocol, BoundedConnection) and protocol.draining:
        response.force_close()
