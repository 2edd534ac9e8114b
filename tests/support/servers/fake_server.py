"""An aiohttp server for tests that can go away and come back: its loop runs in another thread than the test."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Coroutine
from typing import Any, TypeVar

from aiohttp import web

from tests.support.waiting import all_let_in

T = TypeVar("T")


class Server:
    """An aiohttp application on 127.0.0.1 that can go away and come back on the same port."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._runner: web.AppRunner | None = None
        self.tls: ssl.SSLContext | None = None
        self.host = "127.0.0.1"
        self.port = 0

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)

    def start(self) -> None:
        self.wait(self._start())

    def stop(self) -> None:
        """Close the port and every connection, as the end of a process does."""
        self.wait(self._stop())

    async def _start(self) -> None:
        app = web.Application(client_max_size=0)  # no limit
        app.router.add_route("*", "/{path:.*}", self.handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.01, handle_signals=False, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port, reuse_address=True, ssl_context=self.tls)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        if self._runner is not None:
            await all_let_in()
            await self._runner.cleanup()
            self._runner = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        raise NotImplementedError
