"""Serves HTTP on a listening socket, with bounded connections, from start to end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

from aiohttp import web

from registry.runtime.connections.open_connections import Connections
from registry.runtime.connections.request_handler import BoundedConnection
from registry.runtime.connections.tls_handshake import encrypted
from registry.runtime.listen import BACKLOG
from registry.runtime.tls.server import ServerTls


@asynccontextmanager
async def serving(
    runner: web.BaseRunner,
    listener: socket.socket,
    connections: Connections,
    make: Callable[[web.Server], BoundedConnection],
    *,
    tls: ServerTls | None = None,
    before_closing: Callable[[], Awaitable[None]] | None = None,
) -> AsyncIterator[None]:
    """Answer requests while the context is open, over TLS if `tls` is given; `make` makes each connection's handler.

    At the end nothing more is accepted, `before_closing` is waited for, and requests in flight have the runner's
    `shutdown_timeout` to be finished.
    """
    await runner.setup()
    http = runner.server
    assert http is not None, "the runner is set up"
    try:
        async with encrypted(partial(make, http), tls, connections) as protocols:
            server = await asyncio.get_running_loop().create_server(protocols, sock=listener, backlog=BACKLOG)
            try:
                yield
            finally:
                await connections.drain(server, listener, protocols)
                if before_closing is not None:
                    await before_closing()
    finally:
        await runner.cleanup()
