"""The proxy when workers or clients fail: who is asked again, who is told what, and what never happens twice."""

from __future__ import annotations

import asyncio
import io
import os
import resource
import signal
import socket
import sys
from contextlib import ExitStack

import aiohttp
import pytest
from aiohttp import web

from registry.proxy import server
from tests.support.lookups.running_proxy import Script, connect, exchange, proxy, scripted, split, worker
from tests.support.waiting import until

POST = b"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc"
GET = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"


async def hello(request: web.Request) -> web.Response:
    await request.read()
    return web.Response(text="hello")


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


class Hanging:
    """A worker of which every connection is counted; what it then does is `script`."""

    def __init__(self, script: Script) -> None:
        self.asked = 0
        self.gone = 0
        self._script = script

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked += 1
        try:
            await self._script(reader, writer)
        finally:
            self.gone += 1


async def close_at_once(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")


async def close_after_body(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\nabc")


async def say_nothing(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


def told(answer: bytes) -> tuple[int, str]:
    """Status and sentence of a refusal."""
    status, _, body = split(answer)
    text = body.decode()
    assert text.endswith("\n")
    assert text.count("\n") == 1
    return int(status.split()[1]), text


@pytest.mark.parametrize("request_", [GET, POST], ids=["GET", "POST"])
async def test_a_dead_worker_is_passed_over(request_: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Where no connection can be made, any request goes to another worker, and the dead one is let rest."""
    async with worker(hello) as port, proxy(closed_port(), port) as url:
        for _ in range(6):
            assert split(await exchange(url, request_))[2] == b"hello"
    assert [record.message.endswith("It rests for 10 s.") for record in caplog.records] == [True]


async def test_a_worker_that_is_back_after_its_rest_is_used() -> None:
    """Where all others are gone, a resting worker is tried all the same."""
    port = closed_port()
    async with proxy(port) as url:
        assert told(await exchange(url, POST))[0] == 502
        async with worker(hello, port=port):
            assert split(await exchange(url, POST))[2] == b"hello"


async def test_no_worker_can_be_reached() -> None:
    """Connections refused: 502 and a sentence that names the worker."""
    port = closed_port()
    async with proxy(port) as url:
        assert told(await exchange(url, POST)) == (
            502,
            f"The worker at 127.0.0.1:{port} cannot be reached: is it running?\n",
        )


async def test_a_worker_that_does_not_take_the_connection() -> None:
    """A host that drops packets: 504 after the connect timeout."""
    with ExitStack() as held:
        full = held.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        address = full.getsockname()
        for _ in range(3):  # once the queue is full the kernel drops what comes
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        async with proxy(address[1], connect_timeout_s=0.3) as url:
            assert told(await exchange(url, POST)) == (
                504,
                f"The worker at 127.0.0.1:{address[1]} cannot be reached in time: is its host up?\n",
            )


@pytest.mark.parametrize(
    ("request_", "script", "asked"),
    [(POST, close_after_body, 1), (GET, close_at_once, 2)],
    ids=["POST", "GET"],
)
async def test_what_may_have_been_done_is_not_done_again(request_: bytes, script: Script, asked: int) -> None:
    """A worker that breaks off gets a POST once; a GET, which may be repeated, twice; then 502."""
    broken = Hanging(script)
    async with scripted(broken) as port, proxy(port) as url:
        status, sentence = told(await exchange(url, request_))
    assert status == 502
    assert sentence == f"The worker at 127.0.0.1:{port} broke off before it answered: try again.\n"
    assert broken.asked == asked


async def test_a_request_whose_body_was_not_sent_goes_to_another_worker() -> None:
    """A POST that waits for `100 Continue` when its worker breaks off is answered by another."""
    broken = Hanging(close_at_once)
    async with (
        scripted(broken) as bad,
        worker(hello) as good,
        proxy(bad, good) as url,
        aiohttp.ClientSession() as http,
    ):
        for _ in range(4):
            async with http.post(url, data=io.BytesIO(b"abc" * 1000), expect100=True) as answer:
                assert await answer.text() == "hello"
    assert broken.asked >= 3  # each time that it was its turn


async def test_what_listens_there_speaks_no_http() -> None:
    """An answer that is not HTTP: 502, and nobody else is asked."""

    async def ssh(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2p1\r\n")
        await writer.drain()

    server = Hanging(ssh)
    async with scripted(server) as port, proxy(port) as url:
        assert told(await exchange(url, GET))[0] == 502
    assert server.asked == 1


async def test_headers_that_cannot_be_sent_on() -> None:
    """Control characters in a worker's headers: 502."""

    async def control(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nX-A: a\x01b\r\nContent-Length: 1\r\n\r\na")

    async with scripted(control) as port, proxy(port) as url:
        assert told(await exchange(url, GET))[0] == 502


async def test_a_worker_that_does_not_answer() -> None:
    """Nothing from the worker for so long: 504, and the worker's connection is closed."""
    silent = Hanging(say_nothing)
    async with scripted(silent) as port, proxy(port, idle_s=0.3) as url:
        status, sentence = told(await exchange(url, POST))
        await until(lambda: silent.gone == silent.asked == 1)
    assert (status, sentence) == (504, "For 0.3 s nothing came from the worker: try again.\n")


async def test_a_client_that_does_not_send_its_body() -> None:
    """Nothing from the client for so long: 408, and the worker is let go."""
    silent = Hanging(say_nothing)
    async with scripted(silent) as port, proxy(port, idle_s=0.3) as url:
        reader, writer = await connect(url)
        writer.write(POST.replace(b": 3", b": 1000"))
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        await until(lambda: silent.gone == silent.asked == 1)
        writer.close()
    assert head.startswith(b"HTTP/1.1 408 ")


async def test_a_slow_exchange_that_moves_is_let_be() -> None:
    """Only silence is limited, not the whole: a body that trickles for longer than the limit arrives."""
    async with worker(hello) as port, proxy(port, idle_s=1.0) as url:
        reader, writer = await connect(url)
        writer.write(POST.replace(b": 3", b": 28"))
        for _ in range(25):
            await asyncio.sleep(0.05)
            writer.write(b"x")
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
    assert split(answer)[2] == b"hello"


async def test_a_slow_answer_that_moves_is_let_be() -> None:
    """The same the other way: an answer that trickles for longer than the limit arrives."""

    async def trickle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(25):
            await asyncio.sleep(0.05)
            await response.write(b"x")
        return response

    async with (
        worker(trickle) as port,
        proxy(port, idle_s=1.0) as url,
        aiohttp.ClientSession() as http,
        http.get(url) as answer,
    ):
        assert await answer.text() == "x" * 25


async def test_an_answer_that_stops_is_cut_off() -> None:
    """A worker that falls silent in the middle of its answer: the client is not left waiting."""

    async def stop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        await reader.read()

    async with (
        scripted(stop) as port,
        proxy(port, idle_s=0.3) as url,
        aiohttp.ClientSession() as http,
        http.get(url) as answer,
    ):
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()


async def test_a_head_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that sends half a request head, or none, is hung up on after a while."""
    monkeypatch.setattr(server, "KEEP_ALIVE_S", 0.3)
    async with worker(hello) as port, proxy(port) as url:
        assert await exchange(url, b"POST / HTTP/1.1\r\nHost:") == b""


async def test_an_answer_before_the_body_is_through() -> None:
    """413 in the middle of an upload reaches the client, although nobody reads the rest."""

    async def refuse(request: web.Request) -> web.Response:
        await request.content.readany()
        return web.Response(status=413, text="smaller, please")

    async with (
        worker(refuse) as port,
        proxy(port) as url,
        aiohttp.ClientSession() as http,
        http.post(url, data=io.BytesIO(bytes(20_000_000))) as answer,
    ):
        assert (answer.status, await answer.text()) == (413, "smaller, please")


async def test_an_answer_of_a_worker_that_hangs_up_on_the_body() -> None:
    """413 from a worker that closes without reading on reaches the client, too."""

    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
        await writer.drain()

    async with (
        scripted(rude) as port,
        proxy(port) as url,
        aiohttp.ClientSession() as http,
        http.post(url, data=io.BytesIO(bytes(5_000_000))) as answer,
    ):
        assert (answer.status, await answer.text()) == (413, "no")


@pytest.mark.parametrize("head", [b"Content-Length: 10", b"Transfer-Encoding: chunked"])
async def test_an_answer_that_breaks_off_is_not_made_whole(head: bytes) -> None:
    """The client of a half answer sees that it is half."""

    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n3\r\nabc\r\n")
        await writer.drain()

    async with (
        scripted(half) as port,
        proxy(port) as url,
        aiohttp.ClientSession() as http,
        http.get(url) as answer,
    ):
        assert answer.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()


async def test_a_body_that_is_not_framed_well_comes_no_further() -> None:
    """A chunk that is none is never forwarded: 408, and the worker is let go."""
    silent = Hanging(say_nothing)
    async with scripted(silent) as port, proxy(port, idle_s=0.3) as url:
        reader, writer = await connect(url)
        writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await until(lambda: silent.asked == 1)
        writer.write(b"nonsense\r\n")
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        await until(lambda: silent.gone == 1)
        writer.close()
    assert head.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("sent", [GET, POST, POST.replace(b": 3", b": 1000")], ids=["GET", "POST", "half POST"])
async def test_who_hangs_up_takes_the_request_back(sent: bytes) -> None:
    """When the client is gone, the worker's connection is closed at once."""
    silent = Hanging(say_nothing)
    async with scripted(silent) as port, proxy(port) as url:
        _, writer = await connect(url)
        writer.write(sent)
        await until(lambda: silent.asked == 1)
        writer.close()
        await until(lambda: silent.gone == 1)


@pytest.mark.long_callbacks(reason="uvloop starts the process in this test's own step")
async def test_stopping_finishes_what_is_under_way() -> None:
    """`p2p proxy` as a process: an image through it, then SIGTERM in the middle of a request that still ends."""
    release = asyncio.Event()
    under_way = asyncio.Event()

    async def wait(request: web.Request) -> web.Response:
        size = len(await request.read())
        under_way.set()
        await release.wait()
        return web.Response(text=f"{size}")

    async with worker(wait) as port, aiohttp.ClientSession() as http:
        command = [sys.executable, "-m", "p2pclient", "proxy", "--port", "0", "--workers", str(port)]
        process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
        assert process.stderr is not None
        url = (await asyncio.wait_for(process.stderr.readline(), 20)).decode().split("Proxy on ")[1].split(",")[0]

        async def post() -> str:
            async with http.post(url, data=io.BytesIO(bytes(3_000_000))) as answer:
                return await answer.text()

        posting = asyncio.create_task(post())
        await asyncio.wait_for(under_way.wait(), 10)
        process.send_signal(signal.SIGTERM)
        assert b"Stopping" in await asyncio.wait_for(process.stderr.readline(), 10)
        release.set()
        assert await asyncio.wait_for(posting, 10) == "3000000"
        assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_a_proxy_without_files_blames_no_worker(caplog: pytest.LogCaptureFixture) -> None:
    """When the proxy may open no more files, requests are 503 with Retry-After, and no worker is left out for it."""
    async with worker(hello) as port, proxy(port) as url:
        reader, writer = await connect(url)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        os.close(next_file := os.dup(0))
        resource.setrlimit(resource.RLIMIT_NOFILE, (next_file, hard))
        try:
            writer.write(POST.replace(b"Connection: close\r\n", b""))
            head = await reader.readuntil(b"\r\n\r\n")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert head.startswith(b"HTTP/1.1 503")
        assert b"Retry-After: 1" in head
        assert "rests" not in caplog.text
        writer.close()
        assert (await exchange(url, POST)).startswith(b"HTTP/1.1 200")
