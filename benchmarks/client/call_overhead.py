"""Calls per second and the latency of a lone call: bare aiohttp, the client that watches, the client that looks up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

import aiohttp
import uvloop

from benchmarks.harness.rounds import alternate
from benchmarks.harness.summary import markdown_table, percentile, rate_table
from p2pclient import AsyncClient, Client
from tests.support.photos import chelsea_jpeg

BARE = "bare aiohttp, one fixed worker"

Call = Callable[[], Awaitable[object]]


class Caller:
    """One contestant in an event loop that all contestants share; `times_ms` are the latencies of its lone calls."""

    def __init__(self, runner: asyncio.Runner, call: Call) -> None:
        self._runner = runner
        self._call = call
        self.times_ms: list[float] = []

    def rate_hz(self, *, at_once: int, seconds: float) -> float:
        """Calls per second while `at_once` tasks call one after the other."""
        return self._runner.run(self._rate_hz(at_once, seconds))

    async def _rate_hz(self, at_once: int, seconds: float) -> float:
        until_s = time.perf_counter() + seconds
        done = 0

        async def one_after_another() -> None:
            nonlocal done
            while (began_s := time.perf_counter()) < until_s:
                await self._call()
                done += 1
                if at_once == 1:
                    self.times_ms.append((time.perf_counter() - began_s) * 1000)

        await asyncio.gather(*(one_after_another() for _ in range(at_once)))
        return done / seconds


class BlockingCaller:
    """The blocking client, which calls alone; `times_ms` are the latencies of its calls."""

    def __init__(self, client: Client, body: bytes) -> None:
        self._client = client
        self._body = body
        self.times_ms: list[float] = []

    def rate_hz(self, *, seconds: float) -> float:
        """Calls per second, one after the other."""
        until_s = time.perf_counter() + seconds
        done = 0
        while (began_s := time.perf_counter()) < until_s:
            self._client.classify(self._body)
            self.times_ms.append((time.perf_counter() - began_s) * 1000)
            done += 1
        return done / seconds


def bare(http: aiohttp.ClientSession, url: str, body: bytes) -> Call:
    """What an application would write that knows the worker's address: with the image's type, the answer read."""

    async def call() -> object:
        async with http.post(url, data=body, headers={"Content-Type": "image/jpeg"}) as answer:
            answer.raise_for_status()
            return await answer.json()

    return call


def overhead_tables(lookup_url: str, worker_url: str, *, at_once: int, seconds: float, rounds: int) -> str:
    """Two tables: calls per second of each contestant, and the latency of a lone call."""
    body = chelsea_jpeg()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, Client(lookup_url) as client:
        http = runner.run(_session())
        watching = AsyncClient(lookup_url)
        looking_up = AsyncClient(lookup_url, routing="lookup")
        callers = {
            BARE: Caller(runner, bare(http, f"{worker_url}/?top=5", body)),
            'AsyncClient, routing="watch"': Caller(runner, lambda: watching.classify(body)),
            'AsyncClient, routing="lookup"': Caller(runner, lambda: looking_up.classify(body)),
        }
        blocking = BlockingCaller(client, body)
        rates = alternate({name: _turn(one, at_once, seconds) for name, one in callers.items()}, rounds=rounds)
        alone = {name: _turn(one, 1, seconds) for name, one in callers.items()}
        alternate({**alone, "Client": lambda: blocking.rate_hz(seconds=seconds)}, rounds=rounds)
        for closing in (http, watching, looking_up):
            runner.run(closing.close())
    times_ms = {name: one.times_ms for name, one in callers.items()}
    times_ms['Client (blocking), routing="watch"'] = blocking.times_ms
    rate_rows = rate_table(rates, unit=f"calls per second, {at_once} at a time", beside=BARE)
    return f"{rate_rows}\n\n{_latency_table(times_ms)}"


def _turn(caller: Caller, at_once: int, seconds: float) -> Callable[[], float]:
    return lambda: caller.rate_hz(at_once=at_once, seconds=seconds)


def _latency_table(times_ms: Mapping[str, list[float]]) -> str:
    medians = {name: percentile(times, 0.5) for name, times in times_ms.items()}
    rows = [
        [name, f"{p50:.3f}", f"{p50 - medians[BARE]:+.3f}", f"{percentile(times_ms[name], 0.99):.3f}"]
        for name, p50 in medians.items()
    ]
    return markdown_table(["alone", "p50, ms", "added, ms", "p99, ms"], rows)


async def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
