"""Connections over TLS: whole answers arrive, and a client that does not read is noticed as over plain TCP."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvloop
from aiohttp import web

from registry.runtime.connections import open_connections, unsent
from registry.runtime.connections.open_connections import Connections, bounded_connections
from registry.runtime.connections.request_handler import BoundedConnection
from tests.support.waiting import until

LARGE = bytes(range(256)) * (64 << 10)

Run = Callable[[Coroutine[Any, Any, None]], object]
"""Runs a coroutine in an event loop of its own kind."""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a certificate for 127.0.0.1 that is its own authority, and its key."""
    folder = tmp_path_factory.mktemp("certificate")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=ours"
    files = ["-keyout", folder / "key.pem", "-out", folder / "certificate.pem"]
    subject = ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command.split(), *files, *subject], check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_bytes((folder / "key.pem").read_bytes() + (folder / "certificate.pem").read_bytes())
    return both


@asynccontextmanager
async def https_server(certificate: Path) -> AsyncIterator[tuple[int, Connections]]:
    """A server whose every answer is 16 MiB."""

    async def large(_: web.BaseRequest) -> web.Response:
        return web.Response(body=LARGE)

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    runner = web.ServerRunner(web.Server(large))
    await runner.setup()
    assert runner.server is not None
    async with bounded_connections(at_most=10) as connections:
        make = partial(BoundedConnection, runner.server, connections)
        server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0, ssl=context)
        yield server.sockets[0].getsockname()[1], connections
        server.close()
        await runner.cleanup()


def ask_and_never_read(port: int, certificate: Path) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(certificate))
    sock = context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="127.0.0.1")
    sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    return sock


@pytest.mark.long_callbacks(reason="this test answers with megabytes at once, which TLS encrypts")
@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_over_tls(run: Run, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large answer arrives whole; where it is not read, its bytes are counted, and its connection ends."""
    monkeypatch.setattr(open_connections, "LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(unsent, "STALLED_AFTER_S", 0.5)

    async def scene() -> None:
        async with https_server(certificate) as (port, connections):
            context = ssl.create_default_context(cafile=str(certificate))
            async with aiohttp.request("GET", f"https://127.0.0.1:{port}/", ssl=context) as answer:
                assert await answer.read() == LARGE
            await until(lambda: len(connections) == 0)
            sock = await asyncio.to_thread(ask_and_never_read, port, certificate)
            with sock:
                await until(lambda: connections.unsent_bytes > len(LARGE) // 4)
                await until(lambda: len(connections) == 0)

    run(scene())
