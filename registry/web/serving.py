"""Serves an application of the lookup service or the proxy; while it drains, responses close their connections."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from registry.runtime.connections.open_connections import Connections
from registry.runtime.connections.request_handler import BoundedConnection
from registry.runtime.connections.serving import serving
from registry.runtime.tls.server import ServerTls


@asynccontextmanager
async def serving_app(
    app: web.Application,
    listener: socket.socket,
    connections: Connections,
    make: Callable[[web.Server], BoundedConnection],
    *,
    tls: ServerTls | None = None,
    closing_s: float,
    handler_cancellation: bool = False,
) -> AsyncIterator[None]:
    """Answer from `app` while the context is open, over TLS if `tls` is given; `make` makes each connection's handler.

    At the end requests in flight have `closing_s` to be finished. `handler_cancellation`: a client that hangs up
    cancels its request.
    """
    app.on_response_prepare.append(close_while_draining)
    runner = web.AppRunner(app, shutdown_timeout=closing_s, handler_cancellation=handler_cancellation)
    async with serving(runner, listener, connections, make, tls=tls):
        yield


async def close_while_draining(request: web.Request, response: web.StreamResponse) -> None:
    """A signal handler: while the server drains, responses close the connection so that clients stop sending here."""
    protocol = request.protocol
    if isinstance(protocol, BoundedConnection) and protocol.draining:
        response.force_close()
