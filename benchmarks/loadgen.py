"""HTTP load from one process that costs little: ready-made requests over raw sockets, each answer timed.

    python -m benchmarks.loadgen URL FILE [--connections 16] [--rate 50] [--seconds 5]

`closed` keeps N connections busy, each with one request at a time: what N patient clients get. `opened` sends at
the times of a Poisson process whether or not earlier requests were answered, on as many connections as that takes,
and times each answer from the moment its request was due: what clients feel who do not wait for each other.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import time
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import uvloop

from benchmarks.spread import percentile

LOST = 0
"""The status of a request that got no answer: refused, reset, or not answered before the end of patience."""

PATIENCE_S = 10.0
"""How long after the last request answers are waited for."""


@dataclass(frozen=True, slots=True)
class Target:
    """A server on this machine, and whole HTTP requests that are sent to it in turn."""

    port: int
    requests: tuple[bytes, ...]
    host: str = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Answer:
    """When a request was due and when its answer was complete (seconds of one monotonic clock), and its status."""

    due_s: float
    done_s: float
    status: int

    @property
    def ms(self) -> float:
        """Milliseconds from due to done."""
        return (self.done_s - self.due_s) * 1000


@dataclass(frozen=True)
class Load:
    """What came back, what of it counts, and the processor seconds that this process spent.

    everything: all answers, those while warming up too
    began_s, ended_s: what is measured is what was due, or for rates what was done, between these
    sending_s: how long requests were sent, warming up included
    """

    everything: Sequence[Answer]
    began_s: float
    ended_s: float
    spent_s: float
    sending_s: float

    @property
    def seconds(self) -> float:
        """How long was measured."""
        return self.ended_s - self.began_s

    @property
    def answers(self) -> list[Answer]:
        """Those to requests that were due while it was measured."""
        return [a for a in self.everything if a.due_s >= self.began_s]

    def per_s(self, status: int = 200) -> float:
        """Answers a second of this status that were complete while it was measured, whenever they were due."""
        done = (a for a in self.everything if self.began_s <= a.done_s <= self.ended_s)
        return sum(a.status == status for a in done) / self.seconds

    def ms(self, share: float, *statuses: int) -> float:
        """A percentile of the milliseconds of all answers of these statuses; not a number if there are none."""
        times = [a.ms for a in self.answers if a.status in (statuses or (200,))]
        return percentile(times, share) if times else float("nan")

    def count(self, *statuses: int) -> int:
        """How many answers had one of these statuses."""
        return sum(a.status in statuses for a in self.answers)


class Connection(asyncio.Protocol):
    """One kept connection, one request at a time; opened anew where the server closes it."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[int] | None = None
        self._got = bytearray()

    async def ask(self, request: bytes) -> int:
        """Send one request; the status of its answer, or LOST."""
        loop = asyncio.get_running_loop()
        if self._transport is None:
            try:
                await loop.create_connection(lambda: self, self._target.host, self._target.port)
            except OSError:
                return LOST
        self._answer = loop.create_future()
        assert self._transport is not None
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._got += data
        status = complete_status(self._got)
        if status is not None:
            self._finish(status)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._finish(complete_status(self._got, closed=True) or LOST)

    def _finish(self, status: int) -> None:
        closes = b"\r\nconnection: close" in bytes(self._got).lower()
        self._got.clear()
        if closes and self._transport is not None:
            self._transport.abort()
            self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(status)


def complete_status(got: bytes | bytearray, *, closed: bool = False) -> int | None:
    """The status of an HTTP/1.1 answer if all of it is there; `closed` ends a body that says no length.

    100 Continue is no answer. Chunked bodies end with an empty chunk and no trailer.
    """
    head, end, body = bytes(got).partition(b"\r\n\r\n")
    if not end:
        return None
    status = int(head[9:12])
    if status == 100:
        return complete_status(body, closed=closed)
    fields = dict(_fields(head))
    if fields.get(b"transfer-encoding") == b"chunked":
        return status if body.endswith(b"0\r\n\r\n") else None
    if b"content-length" in fields:
        return status if len(body) >= int(fields[b"content-length"]) else None
    return status if closed else None


def _fields(head: bytes) -> Iterator[tuple[bytes, bytes]]:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        yield name.strip().lower(), value.strip().lower()


def closed(target: Target, *, connections: int, seconds: float, warm_s: float = 0.0) -> Load:
    """Keep this many connections busy for warm_s + seconds."""
    return _measured(_closed(target, connections, seconds, warm_s), warm_s + seconds)


def opened(target: Target, *, rate_hz: float, seconds: float, warm_s: float = 0.0, seed: int = 1) -> Load:
    """Send at Poisson times for warm_s + seconds, and wait for the answers.

    Timers of the event loop are good to a millisecond: a request may go out so late, and that is counted.
    """
    return _measured(_opened(target, rate_hz, seconds, warm_s, random.Random(seed)), warm_s + seconds)


def _measured(loading: Coroutine[Any, Any, tuple[list[Answer], float, float]], sending_s: float) -> Load:
    before_s = time.process_time()
    answers, began_s, ended_s = uvloop.run(loading)
    return Load(answers, began_s, ended_s, time.process_time() - before_s, sending_s)


async def _closed(target: Target, count: int, seconds: float, warm_s: float) -> tuple[list[Answer], float, float]:
    turn = itertools.cycle(target.requests)
    began_s = time.perf_counter() + warm_s
    ended_s = began_s + seconds
    answers: list[Answer] = []

    async def one_after_another() -> None:
        connection = Connection(target)
        while (due_s := time.perf_counter()) < ended_s:
            status = await connection.ask(next(turn))
            answers.append(Answer(due_s, time.perf_counter(), status))
            if status == LOST:
                await asyncio.sleep(0.01)  # a server that is gone must not be asked in a tight loop
        connection.close()

    tasks = [asyncio.create_task(one_after_another()) for _ in range(count)]
    await asyncio.wait(tasks, timeout=warm_s + seconds + PATIENCE_S)
    await _cancel(tasks)
    return answers, began_s, ended_s


async def _opened(
    target: Target, rate_hz: float, seconds: float, warm_s: float, chance: random.Random
) -> tuple[list[Answer], float, float]:
    turn = itertools.cycle(target.requests)
    idle: list[Connection] = []
    first_s = time.perf_counter()
    began_s = first_s + warm_s
    ended_s = began_s + seconds
    answers: list[Answer] = []

    async def one(due_s: float) -> None:
        connection = idle.pop() if idle else Connection(target)
        status = LOST
        try:
            status = await connection.ask(next(turn))
            idle.append(connection)
        finally:  # what is cancelled at the end of patience was lost
            answers.append(Answer(due_s, time.perf_counter(), status))

    tasks: list[asyncio.Task[None]] = []
    due_s = first_s
    while (due_s := due_s + chance.expovariate(rate_hz)) < ended_s:
        await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
        tasks.append(asyncio.create_task(one(due_s)))
    await asyncio.wait(tasks, timeout=PATIENCE_S)
    await _cancel(tasks)
    for connection in idle:
        connection.close()
    return answers, began_s, ended_s


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            raise result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("file", type=Path, help="the body of every request")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--rate", type=float, help="requests a second; given, the loop is open")
    parser.add_argument("--seconds", type=float, default=5)
    options = parser.parse_args()
    parts = urlsplit(options.url)
    body = options.file.read_bytes()
    head = f"POST {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {len(body)}\r\n\r\n"
    target = Target(parts.port or 80, (head.encode() + body,), parts.hostname or "127.0.0.1")
    if options.rate:
        load = opened(target, rate_hz=options.rate, seconds=options.seconds)
    else:
        load = closed(target, connections=options.connections, seconds=options.seconds)
    print(f"{load.per_s():,.1f} answers of 200 a second, p50 {load.ms(0.5):.2f} ms, p99 {load.ms(0.99):.2f} ms")
    others = len(load.answers) - load.count(200)
    print(f"{others} others; the generator took {load.spent_s / load.seconds:.1%} of a core")


if __name__ == "__main__":
    main()
