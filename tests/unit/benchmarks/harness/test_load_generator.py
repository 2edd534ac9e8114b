"""The load generator against a real server that answers when it likes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from benchmarks.harness.connections import LOST, Target, complete_status
from benchmarks.harness.load_generator import closed_loop, open_loop
from tests.support.waiting import until

REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"
STALL_S = 0.3


class Stalling(asyncio.Protocol):
    """Answers 200 at once, except that the third request of all holds everything up for STALL_S."""

    seen = 0
    connected = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        Stalling.connected += 1

    def connection_lost(self, _: Exception | None) -> None:
        Stalling.connected -= 1

    def data_received(self, data: bytes) -> None:
        Stalling.seen += 1
        if Stalling.seen == 3:
            threading.Event().wait(STALL_S)
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


@pytest.fixture
def port() -> Iterator[int]:
    Stalling.seen = 0
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(loop.create_server(Stalling, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield server.sockets[0].getsockname()[1]
    clients_gone = until(lambda: not Stalling.connected)
    asyncio.run_coroutine_threadsafe(clients_gone, loop).result()  # or their transports would stay unclosed
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    server.close()
    loop.run_until_complete(server.wait_closed())
    loop.close()


def test_open_loop_counts_the_wait_of_requests_that_were_due_during_a_stall(port: int) -> None:
    """Of 200 requests a second, some dozens are due while the server stands still, and each of them shows it."""
    load = open_loop(Target(port, (REQUEST,)), rate_hz=200, seconds=0.6)
    late = [answer for answer in load.answers if answer.ms > STALL_S * 100]
    assert load.count(200) == len(load.answers) > 60
    assert len(late) > 20


def test_closed_loop_keeps_its_connections_busy(port: int) -> None:
    """Four clients that wait for each answer get hundreds of them, all 200."""
    load = closed_loop(Target(port, (REQUEST,)), connections=4, seconds=0.6)
    assert load.count(200) == len(load.answers) > 100
    assert load.per_s() == pytest.approx(len(load.answers) / 0.6, rel=0.1)


def test_a_server_that_is_not_there_loses_every_request() -> None:
    """Nobody listens: what was asked is counted as lost, not left out."""
    load = closed_loop(Target(1, (REQUEST,)), connections=1, seconds=0.1)
    assert load.count(LOST) == len(load.answers) > 0


@pytest.mark.parametrize(
    ("got", "closed", "status"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", False, 200),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no", False, None),
        (b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", False, 503),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", False, 200),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", False, None),
        (b"HTTP/1.1 100 Continue\r\n\r\n", False, None),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", False, 200),
        (b"HTTP/1.0 200 OK\r\n\r\nok", False, None),
        (b"HTTP/1.0 200 OK\r\n\r\nok", True, 200),
        (b"HTTP/1.1 20", True, None),
    ],
)
def test_an_answer_is_complete_when_all_of_its_body_is_there(got: bytes, closed: bool, status: int | None) -> None:
    """By length, by the last chunk, or by the end of the connection."""
    assert complete_status(got, closed=closed) == status
