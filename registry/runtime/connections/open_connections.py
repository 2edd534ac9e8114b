"""The open connections of one process, within bounds: their number, and what waits to be sent on them.

Each connection takes a file descriptor, of which a process has a limited number. When there are too many, one that is
idle gives way to the new one, so that idle clients keep nobody out. Descriptors are kept aside for what else the
process has to open, such as the connections to Consul.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import islice
from typing import Protocol

from registry.runtime.accept_queue import stop_accepting
from registry.runtime.connections.unsent import Unsent, connections_to_end, next_unsent, stalled_after_s
from registry.runtime.tasks.race import event_within
from registry.runtime.tasks.supervise import supervised

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
"""How often what waits to be sent is looked at."""

DRAIN_S = 0.1
"""How long requests that are on their way when the server stops are still waited for."""

CONNECTIONS_AT_LEAST = 32
"""Connections that are accepted however low the limit of open files is."""

SEARCHED_AT_MOST = 1000
"""Connections among which an idle one is searched for a new one; the next search goes on behind them."""


class Connection(Protocol):
    """One connection of a server; `used`: something came on it since it was last considered for giving way."""

    used: bool

    @property
    def idle(self) -> bool:
        """Whether no request is being answered."""

    def unsent_bytes(self) -> int:
        """How many bytes wait to be handed to the kernel."""

    def taken_bytes(self) -> int:
        """A number that changes with each byte that the client has acknowledged."""

    def begin_draining(self) -> None:
        """The server stops: only what is on its way is answered."""

    def force_close(self) -> None:
        """End the connection once what waits has been sent."""

    def abort(self) -> None:
        """End the connection without sending what waits."""


def connections_at_most(open_files: int, *, aside: int, files_per_connection: int = 1) -> int:
    """How many connections fit into `open_files`, where `aside` of them are kept for other things."""
    return max(CONNECTIONS_AT_LEAST, (open_files - aside) // files_per_connection)


@asynccontextmanager
async def bounded_connections(*, at_most: int) -> AsyncIterator[Connections]:
    """The connections of a process, `at_most` at a time; while the context is open, those that are not read end."""
    connections = Connections(at_most=at_most)
    async with supervised("end connections that are not read", connections.watch):
        yield connections


class Connections:
    """The connections of one process, `at_most` at a time; its servers share them."""

    def __init__(self, *, at_most: int) -> None:
        self.draining = False
        self._at_most = at_most
        self._open: OrderedDict[Connection, None] = OrderedDict()
        self._waiting: dict[Connection, Unsent[Connection]] = {}
        self._none_left = asyncio.Event()

    def opened(self, connection: Connection) -> None:
        """Add a new connection; if there are too many, an idle one ends, or else the new one."""
        if len(self._open) >= self._at_most:
            evicted = self._idle_connection()
            if evicted is None:
                connection.force_close()
                return
            del self._open[evicted]
            evicted.force_close()
        self._open[connection] = None
        self._none_left.clear()

    def closed(self, connection: Connection) -> None:
        """Remove a connection that has ended."""
        self._open.pop(connection, None)
        self._waiting.pop(connection, None)
        if not self._open:
            self._none_left.set()

    def writing_paused(self, connection: Connection) -> None:
        """Bytes wait to be sent on the connection."""
        now_s = asyncio.get_running_loop().time()
        self._waiting[connection] = Unsent(
            connection, connection.unsent_bytes(), connection.taken_bytes(), since_s=now_s, progress_s=now_s
        )

    def writing_resumed(self, connection: Connection) -> None:
        """All bytes of the connection have been sent."""
        self._waiting.pop(connection, None)

    def __len__(self) -> int:
        return len(self._open)

    @property
    def unsent_bytes(self) -> int:
        """How many bytes wait to be sent over all connections."""
        return sum(connection.unsent_bytes() for connection in self._waiting)

    async def watch(self) -> None:
        """End connections whose clients do not read, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self.end_unread(loop.time())

    def end_unread(self, now_s: float) -> None:
        """Look at what waits to be sent on each connection, and end those that hold too much of it for too long."""
        self._waiting = {
            connection: next_unsent(
                before, size_bytes=connection.unsent_bytes(), taken_bytes=connection.taken_bytes(), now_s=now_s
            )
            for connection, before in self._waiting.items()
        }
        ended = connections_to_end(self._waiting.values(), now_s=now_s, draining=self.draining)
        for connection in ended:
            connection.abort()
        if ended:
            patience_s = stalled_after_s(draining=self.draining)
            logger.info("%d connections end: their clients did not read for %g s.", len(ended), patience_s)

    async def drain(
        self, server: asyncio.Server, listener: socket.socket, make: Callable[[], asyncio.Protocol]
    ) -> None:
        """Stop accepting, and wait a moment for the requests that are on their way; `make` makes new connections."""
        self.draining = True
        for connection in self._open:
            connection.begin_draining()
        await stop_accepting(server, listener, make)
        if self._open:
            await event_within(self._none_left, DRAIN_S)

    def _idle_connection(self) -> Connection | None:
        """An idle connection that was not used since it was last considered, or else one that was; None without any."""
        used = None
        for connection in list(islice(self._open, SEARCHED_AT_MOST)):
            if connection.idle:
                if not connection.used:
                    return connection
                used = used or connection
            connection.used = False
            self._open.move_to_end(connection)
        return used
