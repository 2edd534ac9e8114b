"""aiohttp's handler of one connection, which counts among the bounded connections of its process."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from aiohttp import web

from registry.runtime.connections.acknowledged import acknowledged_bytes
from registry.runtime.connections.open_connections import Connections
from registry.runtime.connections.tls_transport import PiecewiseTransport

PAUSED_ABOVE_BYTES = 1
"""The transport reports a connection with more unsent bytes than this, and again once all are sent.

Not 0: a TLS transport would report a connection with no unsent bytes, and never that they are sent.
"""


class BoundedConnection(web.RequestHandler):
    """aiohttp's handler of one connection, which is one of `connections`; `options` as for aiohttp's."""

    __slots__ = ("_connections", "_link", "loop", "used")

    def __init__(self, server: web.Server, connections: Connections, **options: Any) -> None:
        self.loop = asyncio.get_running_loop()
        super().__init__(server, loop=self.loop, **options)
        self.used = False
        self._connections = connections
        self._link: asyncio.Transport | None = None  # aiohttp forgets its own when it begins to close

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Add the connection; called by the transport."""
        self._link = cast(asyncio.Transport, transport)
        if self._link.get_extra_info("sslcontext") is not None:
            self._link = cast(asyncio.Transport, PiecewiseTransport(self._link))
        super().connection_made(self._link)
        self._link.set_write_buffer_limits(high=PAUSED_ABOVE_BYTES)
        self._connections.opened(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Remove the connection, which has ended; called by the transport."""
        self._link = None
        self._connections.closed(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass the bytes that came to aiohttp; called by the transport."""
        self.used = True
        super().data_received(data)

    def pause_writing(self) -> None:
        """The client reads more slowly than it is answered; called by the transport."""
        super().pause_writing()
        self._connections.writing_paused(self)

    def resume_writing(self) -> None:
        """All that was written is sent; called by the transport."""
        super().resume_writing()
        self._connections.writing_resumed(self)

    def begin_draining(self) -> None:
        """From now on responses close the connection."""

    @property
    def draining(self) -> bool:
        """Whether the server answers only what is on its way."""
        return self._connections.draining

    @property
    def idle(self) -> bool:
        """Whether no request is being answered."""
        return not (self._request_in_progress or self._messages or self._paused)

    def restart_idle_time(self) -> None:
        """Count the time after which an idle connection is closed from now on."""
        self._next_keepalive_close_time = self.loop.time() + self.keepalive_timeout

    def unsent_bytes(self) -> int:
        """How many bytes wait to be handed to the kernel."""
        return 0 if self._link is None else self._link.get_write_buffer_size()

    def taken_bytes(self) -> int:
        """A number that changes with each byte that the client has acknowledged."""
        taken = None if self._link is None else acknowledged_bytes(self._link.get_extra_info("socket"))
        return -self.unsent_bytes() if taken is None else taken

    def abort(self) -> None:
        """End the connection without sending what waits."""
        if self._link is not None:
            self._link.abort()
