"""Serves an application on a listening socket, with bounded connections, from start to end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from aiohttp import web

from registry.runtime.supervise import supervised
from registry.web.connections import BoundedConnection, Connections, close_while_draining, one_answer_at_a_time


@asynccontextmanager
async def serving(
    app: web.Application,
    listener: socket.socket,
    connections: Connections,
    protocol: Callable[[web.Server], BoundedConnection],
    *,
    closing_s: float,
    handler_cancellation: bool = False,
) -> AsyncIterator[None]:
    """Answer from `app` while the context is open; `protocol` makes the handler of each new connection.

    At the end requests in flight have `closing_s` to be finished. `handler_cancellation`: a client that hangs up
    cancels its request.
    """
    app.middlewares.insert(0, one_answer_at_a_time)
    app.on_response_prepare.append(close_while_draining)
    runner = web.AppRunner(app, shutdown_timeout=closing_s, handler_cancellation=handler_cancellation)
    await runner.setup()
    http = runner.server
    assert http is not None, "the runner is set up"
    protocols = partial(protocol, http)
    server = await asyncio.get_running_loop().create_server(protocols, sock=listener)
    try:
        async with supervised("end connections that are not read", connections.watch):
            yield
    finally:
        await connections.drain(server, listener, protocols)
        await runner.cleanup()
