"""A running proxy for tests, workers of two kinds behind it, and bare connections to it.

Workers are small aiohttp servers, or scripts on a bare TCP connection where a worker has to do what no framework does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from registry.consul.settings import ConsulSettings
from registry.instances.instance import Instance
from registry.proxy.server import ProxySettings, running

Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]
Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def worker(handle: Handle, *, port: int = 0) -> AsyncIterator[int]:
    """A worker that does `handle` for every request; its port."""
    app = web.Application(client_max_size=8 << 20)
    app.router.add_route("*", r"/{path:[\s\S]*}", handle)
    options = {"auto_decompress": False, "handler_cancellation": True}
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, **options)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[int]:
    """A worker that does `script` on every bare connection, and then closes it; its port."""

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await script(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(run, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@asynccontextmanager
async def proxy(*ports: int, **settings: Any) -> AsyncIterator[str]:
    """A proxy to workers on these ports; its URL."""
    workers = tuple(Instance("", f"w{p}", "127.0.0.1", p) for p in ports)
    async with running(ProxySettings(ConsulSettings(), port=0, workers=workers, **settings)) as it:
        yield it.url


async def exchange(url: str, request: bytes) -> bytes:
    """All that is answered to these bytes until the connection closes."""
    reader, writer = await connect(url)
    writer.write(request)
    try:
        return await asyncio.wait_for(reader.read(), 15)
    finally:
        writer.close()


async def connect(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))


def split(answer: bytes) -> tuple[bytes, list[bytes], bytes]:
    """Status line, header lines, body."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    return status, lines, body
