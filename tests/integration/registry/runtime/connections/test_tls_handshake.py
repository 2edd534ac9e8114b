"""The beginning of connections to a TLS port, on both event loops: what is counted, what ends, and what is said."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
import uvloop
from aiohttp import web

from registry.runtime.connections import tls_handshake
from registry.runtime.connections.open_connections import Connections, bounded_connections
from registry.runtime.connections.request_handler import BoundedConnection
from registry.runtime.connections.serving import serving
from registry.runtime.listen import bind, port_of
from registry.runtime.tls.server import TlsFiles, serving_tls
from tests.support.security.certificates import Authority
from tests.support.waiting import until

HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
"""The beginning of a ClientHello whose rest does not come."""

GET = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a test's coroutine on one of the event loops, which must report no error."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    def run_it(coroutine: Coroutine[Any, Any, None]) -> None:
        errors: list[Any] = []
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.get_loop().set_exception_handler(lambda _, context: errors.append(context))
            runner.run(asyncio.wait_for(coroutine, 30))
        assert errors == []

    return run_it


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def files(authority: Authority) -> TlsFiles:
    pem = authority.sign("server")
    return TlsFiles(pem.cert, pem.key)


@dataclass(frozen=True)
class Server:
    """A running server and its connections."""

    port: int
    connections: Connections


@asynccontextmanager
async def server(files: TlsFiles | None, *, at_most: int = 100) -> AsyncIterator[Server]:
    """An HTTP server that answers every request with the length of its body."""

    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(text=f"{request.scheme} {len(await request.read())}\n")

    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=1)
    with bind("127.0.0.1", 0) as listener:
        async with bounded_connections(at_most=at_most) as connections, serving_tls(files) as tls:

            def make(http: web.Server) -> BoundedConnection:
                return BoundedConnection(http, connections, access_log=None)

            async with serving(runner, listener, connections, make, tls=tls):
                yield Server(port_of(listener), connections)


def trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority.ca)


async def said(port: int, data: bytes, context: ssl.SSLContext | None = None, *, cut_at: int = 0) -> bytes:
    """All that the server says to `data`, sent in two parts where `cut_at` says so."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        for part in (data[:cut_at], data[cut_at:]):
            writer.write(part)
            await writer.drain()
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()


async def closes(port: int, data: bytes) -> bytes:
    """What the server says to `data` before it closes or resets the connection."""
    try:
        return await said(port, data)
    except ConnectionError:
        return b""


def test_requests_are_answered(run: Run, files: TlsFiles, authority: Authority) -> None:
    """Small and large ones, over each version, many at once; afterwards no connection is counted."""

    async def test() -> None:
        async with server(files) as it:
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                context = trusting(authority)
                context.maximum_version = version
                large = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 500000\r\n\r\n" + bytes(
                    500_000
                )
                got = await asyncio.gather(*(said(it.port, each, context) for each in [GET, large] * 20))
                assert [answer.rpartition(b"\r\n\r\n")[2] for answer in got] == [b"https 0\n", b"https 500000\n"] * 20
            await until(lambda: len(it.connections) == 0)

    run(test())


def test_a_handshake_that_comes_in_pieces_is_made(run: Run, files: TlsFiles, authority: Authority) -> None:
    """However the network cuts the client's first bytes."""

    async def test() -> None:
        async with server(files) as it:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            client = trusting(authority).wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
            reader, writer = await asyncio.open_connection("127.0.0.1", it.port)

            async def step(action: Callable[[], Any]) -> Any:
                while True:
                    try:
                        return action()
                    except ssl.SSLWantReadError:
                        for byte in outgoing.read():
                            writer.write(bytes([byte]))
                            await asyncio.sleep(0)
                        incoming.write(await asyncio.wait_for(reader.read(10_000), 5))

            await step(client.do_handshake)
            client.write(GET)
            answer = await step(lambda: client.read(1000))
            assert answer.startswith(b"HTTP/1.1 200 OK")
            writer.close()

    run(test())


def test_plain_http_is_told_to_speak_tls(run: Run, files: TlsFiles) -> None:
    """A 400 with one sentence, also where a body comes with the request; no traceback."""

    async def test() -> None:
        async with server(files) as it:
            body = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n" + bytes(300_000)
            for request in (GET, body, b"\x00", b"SSH-2.0-OpenSSH\r\n"):
                answer = await said(it.port, request)
                assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
                assert answer.endswith(b"\r\n\r\nThis port speaks TLS: use https:// in place of http://.\n")
            await until(lambda: len(it.connections) == 0)

    run(test())


def test_tls_on_a_plain_port_ends_quickly(run: Run, authority: Authority) -> None:
    """The client learns that there is no TLS."""

    async def test() -> None:
        async with server(None) as it:
            with pytest.raises(ssl.SSLError, match="WRONG_VERSION_NUMBER"):
                await said(it.port, GET, trusting(authority))
            await until(lambda: len(it.connections) == 0)

    run(test())


def test_broken_handshakes_end(run: Run, files: TlsFiles, caplog: pytest.LogCaptureFixture) -> None:
    """Nonsense in place of a ClientHello, clients that hang up or reset in the middle, or do not trust us."""

    async def reset(port: int) -> None:
        sock = socket.create_connection(("127.0.0.1", port))
        sock.sendall(HELLO)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        sock.close()

    async def hang_up(port: int) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HELLO)
        await writer.drain()
        writer.close()

    async def test() -> None:
        async with server(files) as it:
            await closes(it.port, b"\x16" + bytes(1000))
            await closes(it.port, b"\x16\x03\x01\x00\x05hello")
            with pytest.raises(ssl.SSLCertVerificationError):
                await said(it.port, GET, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
            for rude in (reset, hang_up):
                await rude(it.port)
            await until(lambda: len(it.connections) == 0)

    caplog.set_level(logging.INFO)
    run(test())
    assert caplog.text == ""


@pytest.mark.parametrize("first", [b"", HELLO])
def test_handshakes_take_a_bounded_time(
    run: Run, files: TlsFiles, first: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that says nothing, or stops in the middle, loses its connection."""

    async def test() -> None:
        async with server(files) as it:
            assert await closes(it.port, first) == b""
            await until(lambda: len(it.connections) == 0)

    monkeypatch.setattr(tls_handshake, "HANDSHAKE_AT_MOST_S", 0.1)
    run(test())


def test_handshakes_are_counted_and_give_way(run: Run, files: TlsFiles, authority: Authority) -> None:
    """Connections that never finish their handshake keep nobody out."""

    async def test() -> None:
        async with server(files, at_most=8) as it:
            stuck = [await asyncio.open_connection("127.0.0.1", it.port) for _ in range(30)]
            for _, writer in stuck:
                writer.write(HELLO)
            await until(lambda: len(it.connections) == 8)
            for _ in range(3):
                assert (await said(it.port, GET, trusting(authority))).startswith(b"HTTP/1.1 200 OK")
            for _, writer in stuck:
                writer.close()

    run(test())


def test_the_end_does_not_wait_for_handshakes(run: Run, files: TlsFiles) -> None:
    """A server that stops ends those that are under way."""

    async def test() -> None:
        async with server(files) as it:
            reader, writer = await asyncio.open_connection("127.0.0.1", it.port)
            writer.write(HELLO)
            await until(lambda: len(it.connections) == 1)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(reader.readexactly(1), 5)
        writer.close()

    run(test())


def test_a_client_that_does_not_end_its_stream_is_not_waited_for(
    run: Run, files: TlsFiles, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that the server closes ends although the client says nothing any more."""

    async def test() -> None:
        async with server(files) as it:
            context = trusting(authority)
            sock = await asyncio.to_thread(_connected, it.port, context)
            sock.sendall(GET)
            await until(lambda: len(it.connections) == 0)
            sock.close()

    monkeypatch.setattr(tls_handshake, "SHUTDOWN_AT_MOST_S", 0.1)
    run(test())


def _connected(port: int, context: ssl.SSLContext) -> ssl.SSLSocket:
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="127.0.0.1")


def test_a_client_without_a_certificate_gets_no_answer(run: Run, files: TlsFiles, authority: Authority) -> None:
    """Where one is wanted; with one it gets its answer."""

    async def test() -> None:
        async with server(replace(files, client_ca=authority.ca)) as it:
            context = trusting(authority)
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await _answered(said(it.port, GET, context))
            pem = authority.sign("client")
            context.load_cert_chain(pem.cert, pem.key)
            assert (await said(it.port, GET, context)).startswith(b"HTTP/1.1 200 OK")

    run(test())


async def _answered(answer: Awaitable[bytes]) -> None:
    """Raise ConnectionError where the connection ended without an answer."""
    if not await answer:
        raise ConnectionError
