"""Bodies are received within their budget and their time limit, over real connections; which ones are refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from tests.support.waiting import until
from worker.errors import Busy, WorkerError
from worker.web.body_budget import PIECE_BYTES, BodyBudget
from worker.web.responses import error_response, to_aiohttp


@dataclass
class Receiver:
    """A server that receives bodies of up to 1,000,000 bytes and answers with their length, when it may."""

    budget: BodyBudget
    port: int
    go: asyncio.Event

    async def send(self, *parts: bytes, length: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % length)
        for part in parts:
            writer.write(part)
            await writer.drain()
        return reader, writer


@asynccontextmanager
async def receiver(
    *, most_bytes: int = 10_000_000, total_s: float = 20.0, pause_s: float = 20.0
) -> AsyncIterator[Receiver]:
    budget, go = BodyBudget(most_bytes=most_bytes, total_s=total_s, pause_s=pause_s), asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        try:
            body = b"".join(await budget.pieces(request, limit_bytes=1_000_000))
        except WorkerError as error:
            return to_aiohttp(error_response(error))
        await go.wait()
        return web.Response(text=f"{len(body)}\n")

    app = web.Application()
    app.add_routes([web.post("/", answer)])
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield Receiver(budget, runner.addresses[0][1], go)
    finally:
        await runner.cleanup()


def held(server: Receiver, size: int) -> Callable[[], bool]:
    return lambda: server.budget.held_bytes == size


async def answered(reader: asyncio.StreamReader) -> bytes:
    """The whole answer to the one request of a connection, up to its body's first line."""
    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")
        return head + await reader.readline()


async def test_bytes_count_until_the_answer() -> None:
    """What has come is counted while it comes and while the request is worked on, and given back with the answer."""
    async with receiver() as server:
        reader, writer = await server.send(b"x" * 300, length=700)
        await until(held(server, 300))
        writer.write(b"x" * 400)
        await until(held(server, 700))
        server.go.set()
        assert (await answered(reader)).endswith(b"700\n")
        await until(held(server, 0))
        writer.close()


async def test_bytes_are_given_back_when_a_client_hangs_up() -> None:
    """A client that is gone, while sending or while waiting, holds nothing."""
    async with receiver() as server:
        _, half = await server.send(b"x" * 300, length=700)
        _, whole = await server.send(b"x" * 500, length=500)
        await until(held(server, 800))
        half.close()
        whole.close()
        await until(held(server, 0))


async def test_of_too_much_the_largest_body_that_is_still_coming_goes() -> None:
    """With the budget used up the largest unfinished body gets 503; finished ones and small ones stay."""
    async with receiver(most_bytes=1000) as server:
        finished, _a = await server.send(b"x" * 500, length=500)
        large, _b = await server.send(b"x" * 300, length=900)
        await until(held(server, 800))
        small, _c = await server.send(b"x" * 201, length=201)
        answer = await answered(large)
        assert (b" 503 " in answer, b"Retry-After" in answer, b"--body-memory" in answer) == (True, True, True)
        await until(held(server, 701))
        server.go.set()
        assert (await answered(finished)).endswith(b"500\n")
        assert (await answered(small)).endswith(b"201\n")
        await until(held(server, 0))
        for writer in (_a, _b, _c):
            writer.close()


async def test_the_one_that_is_too_much_itself_is_refused() -> None:
    """Where nobody unfinished holds more than the newcomer, it is the newcomer that gets 503."""
    async with receiver(most_bytes=1000) as server:
        finished, _a = await server.send(b"x" * 900, length=900)
        await until(held(server, 900))
        newcomer, _b = await server.send(b"x" * 200, length=200)
        assert b" 503 " in await answered(newcomer)
        await until(held(server, 900))
        server.go.set()
        assert (await answered(finished)).endswith(b"900\n")
        for writer in (_a, _b):
            writer.close()


@pytest.mark.parametrize("times", [{"pause_s": 0.2}, {"total_s": 0.5}])
async def test_slow_senders_are_refused(times: dict[str, float]) -> None:
    """A sender that pauses too long, and one that drips on for too long, get 408 and are forgotten."""
    async with receiver(**times) as server:
        reader, writer = await server.send(b"x" * 300, length=900)

        async def drip() -> None:
            while "total_s" in times:
                writer.write(b"x")
                await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        answer = await answered(reader)
        assert (b" 408 " in answer, b"did not come in time" in answer) == (True, True)
        await until(held(server, 0))
        dripping.cancel()
        writer.close()


async def test_a_body_of_single_bytes_is_kept_in_few_pieces() -> None:
    """Chunks of one byte do not become a list of one-byte objects."""
    async with receiver() as server:
        seen: list[list[bytes]] = []
        pieces = server.budget.pieces

        async def spied(request: web.Request, *, limit_bytes: int) -> list[bytes]:
            seen.append(await pieces(request, limit_bytes=limit_bytes))
            return seen[-1]

        server.budget.pieces = spied  # type: ignore[method-assign]  # to see what it gives
        server.go.set()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(300):
            writer.write(b"1\r\nx\r\n" * 200)
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        assert (await answered(reader)).endswith(b"60000\n")
        assert len(seen[0]) <= 2 * 60_000 / PIECE_BYTES + 1
        writer.close()


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        (b"Content-Length: 1000001\r\n", b"", b" 413 "),
        (b"Transfer-Encoding: chunked\r\n", b"f4241\r\n" + b"x" * 1_000_001, b" 413 "),
        (b"Transfer-Encoding: chunked\r\n", b"zz\r\n", b" 400 "),
        (b"Content-Length: 4\r\nContent-Encoding: gzip\r\n", b"nope", b" 400 "),
        (b"Content-Length: 3\r\nContent-Length: 4\r\n", b"abcd", b" 400 "),
        (b"Content-Length: -1\r\n", b"", b" 400 "),
        (b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n", b" 400 "),
    ],
)
async def test_bodies_that_are_too_large_or_broken_are_refused(headers: bytes, body: bytes, status: bytes) -> None:
    """Each gets its 4xx while the rest of it has not been sent."""
    async with receiver() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n" + body)
        assert status in (await answered(reader)).partition(b"\r\n")[0]
        writer.close()


class ScriptedBody:
    """A body whose pieces arrive one for each time that `more` is set; the first is there from the start."""

    def __init__(self, *pieces: bytes) -> None:
        self.more = asyncio.Event()
        self._pieces = list(pieces)

    def is_eof(self) -> bool:
        return len(self._pieces) == 1

    def read_nowait(self) -> bytes:
        return self._pieces.pop(0)

    async def readany(self) -> bytes:
        if len(self._pieces) == 0:
            return b""
        piece = self._pieces.pop(0)
        if not piece:
            await self.more.wait()
            return await self.readany()
        return piece


@dataclass
class ScriptedRequest:
    content: ScriptedBody
    method: str = "POST"
    path: str = "/"
    content_length: int | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


async def test_a_refused_body_stays_refused_when_more_of_it_is_at_hand() -> None:
    """A body that is refused in favour of another cannot go on because its next piece is there before its time-out."""
    budget = BodyBudget(most_bytes=1000, total_s=20)
    large = ScriptedBody(b"x" * 600, b"", b"x" * 200, b"x" * 200)
    receiving = asyncio.create_task(budget.pieces(ScriptedRequest(large), limit_bytes=10_000))
    await until(lambda: budget.held_bytes == 600)
    large.more.set()  # from here on its task can run, and its next pieces wait
    small = await budget.pieces(ScriptedRequest(ScriptedBody(b"y" * 500)), limit_bytes=10_000)
    with pytest.raises(Busy):
        await receiving
    assert (small, budget.held_bytes) == ([b"y" * 500], 500)
