"""Clients that hold connections, or do not read what they asked for, and the others beside them."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from functools import partial

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from registry.consul.catalog import Catalog, Checks
from registry.consul.settings import ConsulSettings
from registry.instances.instance import Instance
from registry.runtime.connections import open_connections, unsent
from registry.runtime.connections.open_connections import Connections, bounded_connections, connections_at_most
from registry.runtime.connections.request_handler import BoundedConnection
from registry.runtime.listen import bind, port_of
from registry.web.serving import serving_app
from tests.support.command_process import command
from tests.support.consul_process import ConsulProcess
from tests.support.waiting import until

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
LARGE = bytes(16 << 20)

at_once = pytest.mark.long_callbacks(reason="the handler of this test answers with 16 MB at once")


class Server:
    """A server with bounded connections: `/` says `hello`, `/large` 16 MiB, `/wait` nothing until `go` is set."""

    def __init__(self, *, at_most: int) -> None:
        self.connections: Connections
        self.go = asyncio.Event()
        self.port = 0
        self._at_most = at_most

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Server]:
        app = web.Application()
        app.add_routes([web.get("/", self._hello), web.get("/large", self._large), web.get("/wait", self._wait)])
        with closing(bind("127.0.0.1", 0)) as listener:
            self.port = port_of(listener)
            async with bounded_connections(at_most=self._at_most) as connections:
                self.connections = connections
                make = partial(BoundedConnection, connections=connections)
                async with serving_app(app, listener, connections, make, closing_s=1.0):
                    yield self

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def _hello(self, _: web.Request) -> web.Response:
        return web.Response(text="hello")

    async def _large(self, _: web.Request) -> web.Response:
        return web.Response(body=LARGE)

    async def _wait(self, _: web.Request) -> web.Response:
        await self.go.wait()
        return web.Response(text="hello")


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """The status line of the answer on this connection; b"" where the connection was closed."""
    writer.write(GET)
    line = await reader.readline()
    if line:
        await reader.readuntil(b"hello")
    return line


async def test_idle_connections_give_way_to_new_ones() -> None:
    """With as many idle connections as there may be, a new one is answered, and the one idle for longest ends."""
    async with Server(at_most=3).running() as server, AsyncExitStack() as opened:
        old = []
        for _ in range(3):
            reader, writer = await server.connect()
            opened.callback(writer.close)
            assert (await ask(reader, writer)).startswith(b"HTTP/1.1 200")
            old.append((reader, writer))
        await ask(*old[0])
        for _ in range(10):
            reader, writer = await server.connect()
            opened.callback(writer.close)
            assert (await ask(reader, writer)).startswith(b"HTTP/1.1 200")
        assert [await reader.read() for reader, _ in old] == [b""] * 3


async def test_requests_in_flight_do_not_give_way() -> None:
    """A connection on which a request is being answered stays; where all are, the new one is closed."""
    async with Server(at_most=2).running() as server:
        busy = [await server.connect() for _ in range(2)]
        for _, writer in busy:
            writer.write(GET.replace(b"/ ", b"/wait "))
        await until(lambda: sum(not c.idle for c in server.connections._open) == 2)
        reader, writer = await server.connect()
        assert await reader.read() == b""
        writer.close()
        server.go.set()
        for reader, writer in busy:
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            writer.close()


@at_once
async def test_an_answer_that_is_not_read_ends_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that stops reading is cut off, one that reads slowly gets all of its answer."""
    monkeypatch.setattr(open_connections, "LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(unsent, "STALLED_AFTER_S", 0.5)
    async with Server(at_most=10).running() as server:
        stalled, slow = await server.connect(), await server.connect()
        for _, writer in (stalled, slow):
            writer.write(GET.replace(b"/ ", b"/large "))
        received = 0
        while received < len(LARGE):
            chunk = await slow[0].read(1 << 20)
            assert chunk, "a client that reads is not cut off"
            received += len(chunk)
            await asyncio.sleep(0.05)
        await until(lambda: len(server.connections._open) == 1)
        assert len(await stalled[0].read()) < len(LARGE), "its answer is cut off"
        for _, writer in (stalled, slow):
            writer.close()


@at_once
async def test_a_client_that_reads_nothing_is_answered_one_at_a_time() -> None:
    """Requests that come without their answers being read pile up no answers."""
    async with Server(at_most=10).running() as server:
        with socket.create_connection(("127.0.0.1", server.port)) as sock:
            sock.sendall(GET.replace(b"/ ", b"/large ") * 10)
            await until(lambda: any(c.unsent_bytes() for c in server.connections._open))
            await asyncio.sleep(0.2)  # time for the answers that must not be begun
            assert sum(c.unsent_bytes() for c in server.connections._open) <= len(LARGE) + 1000


async def test_connections_that_wait_to_be_accepted_are_answered_when_the_server_stops() -> None:
    """No client that has connected is reset: those in the kernel's queue are taken up and answered, and closed."""
    for _ in range(10):
        async with Server(at_most=100).running() as server:
            socks = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(20)]
            for sock in socks:
                sock.sendall(GET)
        for sock in socks:
            with sock:
                sock.settimeout(5)
                assert sock.recv(1000).startswith(b"HTTP/1.1 200")


def test_files_are_kept_aside() -> None:
    """Of the files that may be open some are kept, and a connection may need two."""
    assert connections_at_most(1024, aside=224) == 800
    assert connections_at_most(1024, aside=24, files_per_connection=2) == 500
    assert connections_at_most(100, aside=300) == 32


@pytest.mark.parametrize("watching", [False, True])
async def test_more_connections_than_files_leave_lookups_alone(shared_consul: ConsulProcess, watching: bool) -> None:
    """A lookup service that may open 400 files answers every lookup while 600 clients are idle, or wait for changes."""
    catalog = Catalog(ConsulSettings(url=shared_consul.url))
    await catalog.register(
        Instance("files", "files-1", "127.0.0.1", 9001), Checks(f"{shared_consul.url}/v1/status/leader")
    )
    await catalog.close()
    limited = ["prlimit", "--nofile=400:400", sys.executable, "-m", "p2pclient"]
    registry = ["registry", "--port", "0", "--state", "", "--service", "files", "--consul", shared_consul.url]
    async with command(*registry, p2p=limited) as process, AsyncExitStack() as opened:
        await until(lambda: "Lookup service on" in process.output, within_s=30)
        url = "http://127.0.0.1:" + process.output.split("Lookup service on http://127.0.0.1:")[1].split(",")[0]
        async with aiohttp.request("GET", f"{url}/instances/files") as answer:
            index = (await answer.json())["index"]
        path = f"/instances/files?index={index}&wait=60s" if watching else "/next"
        for _ in range(600):
            _, writer = await asyncio.open_connection("127.0.0.1", URL(url).port)
            opened.callback(writer.close)
            writer.write(GET.replace(b"/ ", f"{path} ".encode()))
        for _ in range(20):
            async with aiohttp.request("GET", f"{url}/next") as answer:
                assert (answer.status, await answer.text()) == (200, "127.0.0.1:9001\n")
        assert "Too many open files" not in process.output
