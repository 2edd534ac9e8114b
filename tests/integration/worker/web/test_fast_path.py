"""The fast path over real connections: clients that hang up, are slow, are refused, or wait while the worker ends."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from PIL import Image

from registry.runtime.connections import open_connections, unsent
from tests.support.waiting import until
from tests.support.workers.fast_and_slow_worker import FastAndSlowWorker, fast_and_slow_worker
from tests.support.workers.held_engine import held_engine
from worker.batching.batcher import Batcher
from worker.fast_path.body import FastPathBody
from worker.fast_path.connection import PIPELINED_BYTES, FastPathConnection


def image(width: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, 10)).save(file, "PNG")
    return file.getvalue()


def post(body: bytes, *headers: bytes) -> bytes:
    lines = [b"POST / HTTP/1.1", b"Host: x", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@dataclass
class Client:
    """One connection to the fast path."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def answer(self) -> bytes:
        """The next answer, head and body."""
        async with asyncio.timeout(10):
            head = await self.reader.readuntil(b"\r\n\r\n")
            return head + await self.reader.readline()

    async def closed(self) -> bool:
        async with asyncio.timeout(10):
            return await self.reader.read() == b""


@dataclass
class Held:
    """A worker with both ports, whose engine waits until `go` is set, and clients of its fast path."""

    ports: FastAndSlowWorker
    go: threading.Event
    clients: list[Client] = field(default_factory=list)

    @property
    def batcher(self) -> Batcher:
        return self.ports.store.current.batcher

    async def client(self, message: bytes) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.ports.fast_port))
        self.clients.append(client)
        client.writer.write(message)
        return client

    async def predicting(self) -> Client:
        """One whose image keeps the engine."""
        self.go.clear()
        client = await self.client(post(image(30)))
        await until(lambda: self.batcher.running == 1)
        return client

    async def full(self) -> None:
        """One image keeps the engine, and the next waits."""
        await self.predicting()
        await self.client(post(image(31)))
        await until(lambda: self.batcher.depth == 1)

    async def emptied(self) -> None:
        """Both are answered."""
        self.go.set()
        await until(lambda: self.batcher.depth + self.batcher.running == 0)


@pytest.fixture
def go(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Every prediction waits for this, if it is not set."""
    return held_engine(monkeypatch)


@pytest.fixture
def worker(go: threading.Event) -> Callable[..., Any]:
    """Makes such a worker."""

    @asynccontextmanager
    async def make(**changes: Any) -> AsyncIterator[Held]:
        async with fast_and_slow_worker(**changes) as ports:
            held = Held(ports, go)
            try:
                yield held
            finally:
                go.set()
                for client in held.clients:
                    client.writer.close()

    return make


async def test_a_client_that_hangs_up_leaves_the_queue(worker: Callable[..., Any]) -> None:
    """A client that is gone while its image waits makes room at once, and its bytes are given back."""
    async with worker() as held:
        first = await held.predicting()
        gone = await held.client(post(image(31)))
        await until(lambda: held.batcher.depth == 1)
        gone.writer.close()
        await until(lambda: held.batcher.depth == 0)
        await until(lambda: held.ports.shared.body_budget.held_bytes == len(image(30)))
        assert held.ports.shared.metrics.in_flight == 1
        held.go.set()
        assert b" 200 OK" in await first.answer()
        await until(lambda: held.ports.shared.metrics.in_flight == 0)


async def test_a_refused_client_keeps_its_connection(worker: Callable[..., Any]) -> None:
    """With the queue full the head alone gets its 503; the rest of the body is swallowed, and the next is answered."""
    async with worker(queue_most=1) as held:
        await held.full()
        message = post(image(32) + bytes(200_000))
        refused = await held.client(message[:1000])
        answer = await refused.answer()
        assert (b" 503 " in answer, b"Retry-After: " in answer, b"Connection" in answer) == (True, True, False)
        await held.emptied()
        refused.writer.write(message[1000:] + post(image(30)))
        assert b'[["width", 0.75]' in await refused.answer()


async def test_a_refused_body_may_end_before_its_end_is_waited_for(
    worker: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest of a refused body that comes in the moment of the refusal is its end: the next request is answered."""
    linger = FastPathConnection._linger

    async def late(connection: FastPathConnection, content: FastPathBody, *, closing: bool) -> None:
        await until(content.is_eof)
        await linger(connection, content, closing=closing)

    monkeypatch.setattr(FastPathConnection, "_linger", late)
    async with worker(queue_most=1) as held:
        await held.full()
        message = post(image(32) + bytes(1000))
        refused = await held.client(message[:500])
        assert b" 503 " in await refused.answer()
        await held.emptied()
        refused.writer.write(message[500:] + post(image(30)))
        assert b'[["width", 0.75]' in await refused.answer()


async def test_answers_come_in_the_order_of_the_requests(worker: Callable[..., Any]) -> None:
    """Twenty requests in one go on one connection, checks of health between them, are answered one after another."""
    async with worker() as held:
        check = b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"
        client = await held.client(post(image(10)))
        assert b'["width", 0.5]' in await client.answer()
        client.writer.write(check)
        await client.reader.readuntil(b'"models"')
        await client.reader.readuntil(b"}}")
        client.writer.write(b"".join(post(image(10 * n)) for n in range(1, 21)))
        for n in range(1, 21):
            shares = dict(json.loads((await client.answer()).partition(b"\r\n\r\n")[2]))
            assert shares["width"] == pytest.approx(n / (n + 1), abs=1e-5)
        assert held.ports.taken == 21


async def test_a_slow_sender_is_a_408(worker: Callable[..., Any]) -> None:
    """A body that pauses for too long is refused, and what it held is given back."""
    async with worker(pause_s=0.2) as held:
        slow = await held.client(post(image(30))[:-5])
        assert b" 408 " in await slow.answer()
        await until(lambda: held.ports.shared.body_budget.held_bytes == 0, within_s=2)  # not only when it hangs up


@pytest.mark.parametrize("path", ["fast", "slow"])
@pytest.mark.parametrize(
    ("first", "later"),
    [(b"3\r\nabc\r\n0\r\n", b"no trailer\r\n\r\n"), (b"3\r\nabc\r\n", b"0\r\nno trailer\r\n\r\n"), (b"", b"zz\r\n")],
)
async def test_broken_chunks_in_a_later_packet_are_a_400_at_once(
    worker: Callable[..., Any], path: str, first: bytes, later: bytes
) -> None:
    """A trailer or a chunk that cannot be read is refused as such, not waited for until the body is late."""
    async with worker() as held:
        reader, writer = await asyncio.open_connection("127.0.0.1", getattr(held.ports, f"{path}_port"))
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + first)
        await until(lambda: held.ports.shared.metrics.in_flight == 1)
        writer.write(later)
        assert b" 400 " in await asyncio.wait_for(reader.readline(), 5)
        writer.close()


async def test_fast_path_and_aiohttp_share_one_budget(worker: Callable[..., Any]) -> None:
    """Of bodies that together exceed the memory for them, the largest unfinished is refused on either path."""
    async with worker(body_memory_bytes=300_000) as held:
        message = post(bytes(250_000))
        large = await held.client(message[:200_000])
        await until(lambda: held.ports.shared.body_budget.held_bytes > 190_000)
        _, writer = await asyncio.open_connection("127.0.0.1", held.ports.slow_port)
        writer.write(post(bytes(150_000))[:-1])
        answer = await large.answer()
        assert (b" 503 " in answer, b"--body-memory" in answer) == (True, True)
        writer.close()


async def test_a_sender_faster_than_its_reader_is_held_up(worker: Callable[..., Any]) -> None:
    """What a client sends far ahead of its answers stays in its own socket, and is answered when its turn comes."""
    async with worker() as held:
        client = await held.predicting()
        small = post(image(30))
        count = 12_000_000 // len(small)
        for _ in range(count // 100):  # a write of all of it would hold the event loop
            client.writer.write(small * 100)
            await asyncio.sleep(0)
        await asyncio.sleep(0.3)
        assert client.writer.transport.get_write_buffer_size() > 1_000_000
        held.go.set()
        assert b" 200 OK" in await client.answer()
        assert b" 200 OK" in await client.answer()


async def test_requests_sent_ahead_are_not_collected(worker: Callable[..., Any]) -> None:
    """While a client's requests are answered one by one, what it has sent ahead stays below a read and a limit."""
    async with worker() as held:
        client = await held.client(post(b"") * 20_000)
        server = held.ports.runner.server
        assert server is not None
        await until(lambda: held.ports.taken > 100)
        ahead = [0]
        while held.ports.taken < 3000:
            ahead += [len(connection._pipelined) for connection in server.connections]
            await client.reader.readline()
        assert 0 < max(ahead) <= PIPELINED_BYTES + (256 << 10)


async def test_a_client_that_does_not_read_is_not_read_from(worker: Callable[..., Any]) -> None:
    """Answers that nobody takes do not pile up: no further request is begun."""
    async with worker() as held:
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(sock, ("127.0.0.1", held.ports.fast_port))
            sending = asyncio.create_task(loop.sock_sendall(sock, post(b"") * 100_000))
            taken = -1
            while held.ports.taken != taken:
                taken = held.ports.taken
                await asyncio.sleep(0.3)
            assert 0 < taken < 100_000
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)


async def test_idle_connections_are_closed_and_busy_ones_are_not(worker: Callable[..., Any]) -> None:
    """A kept connection is closed when nothing comes, or half a head; not while its request is being answered."""
    async with worker(idle_s=0.3) as held:
        busy = await held.predicting()
        began_s = time.monotonic()
        idle, half = await held.client(b""), await held.client(post(image(30))[:30])
        assert (await idle.closed(), await half.closed()) == (True, True)
        await asyncio.sleep(max(0.0, began_s + 0.8 - time.monotonic()))
        held.go.set()
        assert b" 200 OK" in await busy.answer()
        assert await busy.closed()


async def test_while_leaving_responses_close_the_connection(worker: Callable[..., Any]) -> None:
    """While a worker leaves, each response closes its connection, refusals too."""
    async with worker() as held:
        held.ports.state.leaving = True
        for message in (post(image(30)), post(b"no image")):
            client = await held.client(message)
            assert b"\r\nConnection: close\r\n" in await client.answer()
            assert await client.closed()


async def test_shutdown_waits_for_the_request_in_flight(worker: Callable[..., Any]) -> None:
    """Closing answers the request in flight, and closes connections without one."""
    async with worker(finish_s=10.0) as held:
        busy, idle = await held.predicting(), await held.client(post(b""))
        assert b" 400 " in await idle.answer()
        ending = asyncio.create_task(held.ports.runner.cleanup())
        await asyncio.sleep(0.1)
        assert not ending.done()
        held.go.set()
        assert b" 200 OK" in await busy.answer()
        assert (await busy.closed(), await idle.closed()) == (True, True)
        await asyncio.wait_for(ending, 5)


async def test_shutdown_does_not_wait_for_ever(worker: Callable[..., Any]) -> None:
    """What is not answered in the time to finish is cancelled, and its connection closed."""
    async with worker(finish_s=0.2) as held:
        busy = await held.predicting()
        await asyncio.wait_for(held.ports.runner.cleanup(), 5)
        assert await busy.closed()
        assert held.ports.shared.metrics.in_flight == 0


@asynccontextmanager
async def client_that_never_reads(held: Any, path: str) -> AsyncIterator[None]:
    """A client that has sent small requests, and read nothing, until a response of some bytes could not be sent."""
    loop = asyncio.get_running_loop()
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        await loop.sock_connect(sock, ("127.0.0.1", getattr(held.ports, f"{path}_port")))

        async def send_on() -> None:
            while True:
                await loop.sock_sendall(sock, post(b"no image") * 20)

        sending = asyncio.create_task(send_on())
        await until(lambda: held.ports.shared.connections.unsent_bytes > 0, within_s=90)
        sending.cancel()
        await asyncio.wait([sending])
        yield


@pytest.mark.parametrize("path", ["fast", "slow"])
async def test_a_client_that_leaves_few_bytes_unread_loses_its_connection(
    worker: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """A single small response that cannot be sent ends its connection after a time, as many would."""
    monkeypatch.setattr(open_connections, "LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(unsent, "STALLED_AFTER_S", 0.2)
    async with worker() as held, client_that_never_reads(held, path):
        assert held.ports.shared.connections.unsent_bytes < 64 << 10
        await until(lambda: held.ports.shared.connections.unsent_bytes == 0)


@pytest.mark.parametrize("path", ["fast", "slow"])
async def test_a_body_is_given_back_before_its_response_is_read(worker: Callable[..., Any], path: str) -> None:
    """A client that reads nothing keeps other bodies out no longer than its images are predicted."""
    async with worker() as held, client_that_never_reads(held, path):
        assert held.ports.shared.body_budget.held_bytes == 0


@pytest.mark.parametrize("path", ["fast", "slow"])
async def test_clients_that_never_read_delay_the_end_by_a_moment_only(
    worker: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Once the worker leaves, responses without progress are given up after a short time, not after finish_s."""
    monkeypatch.setattr(open_connections, "LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(unsent, "STALLED_WHILE_DRAINING_S", 0.2)
    async with worker(finish_s=30.0) as held, client_that_never_reads(held, path):
        held.ports.shared.connections.draining = True
        await asyncio.wait_for(held.ports.runner.cleanup(), 5)


@pytest.mark.parametrize("path", ["fast", "slow"])
async def test_a_client_that_takes_none_of_its_response_loses_its_connection(
    worker: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Responses that are not read hold their requests' bodies for a limited time only, on either path."""
    monkeypatch.setattr(open_connections, "LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(unsent, "STALLED_AFTER_S", 0.2)
    async with worker() as held:
        loop, port = asyncio.get_running_loop(), getattr(held.ports, f"{path}_port")
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            await loop.sock_connect(sock, ("127.0.0.1", port))

            async def send_on() -> None:
                while True:
                    await loop.sock_sendall(sock, post(b"no image") * 10_000)

            with pytest.raises(ConnectionError):
                await asyncio.wait_for(send_on(), 20)
        await until(lambda: held.ports.shared.metrics.in_flight == 0)
        await until(lambda: held.ports.shared.body_budget.held_bytes == 0)
