"""What p2pclient adds to a call, and how evenly it spreads calls: the table of docs/guide/client.md.

    python -m benchmarks.client [--seconds 4] [--rounds 5] [--at-once 8] [--worker echo|sink]

One worker (`p2p worker --engine echo`, or benchmarks.network.sink_server, which does not look at the image), one lookup
service, one agent, 35 kB bodies. Bare aiohttp posts to that worker's fixed address; the client finds it. All take
turns, medians count. The worker has one core, the asking process the other. Then 20 clients and ten workers, which
wait instead of computing: how evenly calls are spread, and what one worker that is five times slower does to p99.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import time
import tracemalloc
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import aiohttp
import uvloop

from benchmarks.harness.percentiles import percentile
from benchmarks.harness.rounds import CLIENT_CORE, P2P, alternate, answers, free_port, server, table
from p2pclient import AsyncClient, Client
from tests.support.photos import chelsea_jpeg

BARE = "bare aiohttp, one fixed worker"
CLIENTS, WORKERS, WAIT_MS, SLOW_TIMES = 20, 10, 5, 5
CALLERS, PAUSE_S = 16, 1.2

Call = Callable[[], Awaitable[object]]


class Fleet:
    """An agent and a lookup service; workers are registered by their ports."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.consul = f"http://127.0.0.1:{(port := free_port())}"
        stack.enter_context(server([*P2P, "agent", "--port", str(port)]))
        answers(f"{self.consul}/v1/status/leader")
        self.lookup = f"http://127.0.0.1:{(port := free_port())}"
        registry = ["registry", "--port", str(port), "--consul", self.consul, "--state", ""]
        stack.enter_context(server([*P2P, *registry]))

    def echo(self) -> int:
        """Start a worker of ours that predicts nothing; its port."""
        port = free_port()
        worker = ["worker", "--engine", "echo", "--port", str(port), "--consul", self.consul]
        self._stack.enter_context(server([*P2P, *worker]))
        answers(f"http://127.0.0.1:{port}/readyz")
        return self._served(port)

    def sink(self) -> int:
        """Start a worker that looks at no image; its port."""
        port = free_port()
        self._stack.enter_context(server([sys.executable, "-m", "benchmarks.network.sink_server", str(port)]))
        self.register([port], service="classify")
        return self._served(port)

    def _served(self, port: int) -> int:
        end_s = time.monotonic() + 20
        while f":{port}" not in _or_empty(f"{self.lookup}/next") and time.monotonic() < end_s:
            time.sleep(0.1)
        return port

    def register(self, ports: Sequence[int], *, service: str) -> None:
        """Make ports known as workers without checks, and wait until the lookup service has heard of all."""
        for port in ports:
            body = {"Name": service, "ID": f"{service}-{port}", "Address": "127.0.0.1", "Port": port, "Tags": ["p2p"]}
            request = urllib.request.Request(
                f"{self.consul}/v1/agent/service/register", json.dumps(body).encode(), method="PUT"
            )
            urllib.request.urlopen(request, timeout=10).close()
        while _or_empty(f"{self.lookup}/next/{service}?count=1000").count("\n") < len(ports):
            time.sleep(0.1)


def _or_empty(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


class Asking:
    """One contestant: `rate_hz` and `times_ms` of its calls, in a loop that stays for all rounds."""

    def __init__(self, runner: asyncio.Runner, call: Call) -> None:
        self._runner = runner
        self._call = call
        self.times_ms: list[float] = []

    def rate_hz(self, *, at_once: int, seconds: float) -> float:
        """Calls a second of so many callers."""
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


def bare(http: aiohttp.ClientSession, url: str, body: bytes) -> Call:
    """What anyone would write who knows the worker's address: with the image's type, and the answer read."""

    async def call() -> object:
        async with http.post(url, data=body, headers={"Content-Type": "image/jpeg"}) as answer:
            answer.raise_for_status()
            return await answer.json()

    return call


def rates(fleet: Fleet, port: int, options: argparse.Namespace) -> list[str]:
    """Bare aiohttp, watching and looking up: calls a second; and the time of a lone call."""
    body = chelsea_jpeg()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, Client(fleet.lookup) as blocking:
        http = runner.run(_session())
        watching = AsyncClient(fleet.lookup)
        looking = AsyncClient(fleet.lookup, routing="lookup")
        contestants = {
            BARE: Asking(runner, bare(http, f"http://127.0.0.1:{port}/?top=5", body)),
            'AsyncClient, routing="watch"': Asking(runner, lambda: watching.classify(body)),
            'AsyncClient, routing="lookup"': Asking(runner, lambda: looking.classify(body)),
        }
        many = alternate(
            {
                name: lambda asking=asking: asking.rate_hz(at_once=options.at_once, seconds=options.seconds)
                for name, asking in contestants.items()
            },
            rounds=options.rounds,
        )
        blocked_ms: list[float] = []
        alternate(
            {
                name: lambda a=asking: a.rate_hz(at_once=1, seconds=options.seconds)
                for name, asking in contestants.items()
            }
            | {"Client": lambda: _blocking_rate_hz(blocking, body, options.seconds, blocked_ms)},
            rounds=options.rounds,
        )
        lone = {name: asking.times_ms for name, asking in contestants.items()}
        lone['Client (blocking), routing="watch"'] = blocked_ms
        for closing in (http, watching, looking):
            runner.run(closing.close())
    medians = {name: percentile(times, 0.5) for name, times in lone.items()}
    rows = ["", "| alone | p50, ms | added, ms | p99, ms |", "| --- | --- | --- | --- |"]
    rows += [
        f"| {name} | {p50:.3f} | {p50 - medians[BARE]:+.3f} | {percentile(lone[name], 0.99):.3f} |"
        for name, p50 in medians.items()
    ]
    return [table(many, unit=f"calls a second, {options.at_once} at a time", beside=BARE), *rows]


async def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))


def _blocking_rate_hz(client: Client, body: bytes, seconds: float, times_ms: list[float]) -> float:
    until_s = time.perf_counter() + seconds
    done = 0
    while (began_s := time.perf_counter()) < until_s:
        client.classify(body)
        times_ms.append((time.perf_counter() - began_s) * 1000)
        done += 1
    return done / seconds


@contextmanager
def waiting_workers(*arguments: str) -> Iterator[tuple[list[int], Callable[[], list[int]]]]:
    """benchmarks.client.counting_workers: their ports, and a function that answers what they have counted."""
    command = ["taskset", "-c", "0", sys.executable, "-m", "benchmarks.client.counting_workers", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        asked, told = process.stdin, process.stdout

        def counts() -> list[int]:
            asked.write("\n")
            asked.flush()
            return [int(count) for count in told.readline().split()]

        yield [int(port) for port in told.readline().split()], counts
        asked.close()


async def many_clients(
    clients: Sequence[AsyncClient], body: bytes, seconds: float, *, all_at_once: bool = False
) -> list[float]:
    """Each client's callers ask one call after another, with pauses; the times of all calls in ms.

    They begin at any moment of a first pause, or all in the same one, when no client knows anything yet.
    """
    times_ms: list[float] = []
    until_s = time.perf_counter() + seconds

    async def one(client: AsyncClient) -> None:
        chance = random.Random()
        if not all_at_once:
            await asyncio.sleep(chance.uniform(0, PAUSE_S))
        while (began_s := time.perf_counter()) < until_s:
            await client.classify(body)
            times_ms.append((time.perf_counter() - began_s) * 1000)
            await asyncio.sleep(chance.uniform(0, PAUSE_S))

    try:
        await asyncio.gather(*(one(client) for client in clients for _ in range(CALLERS)))
    finally:
        await asyncio.gather(*(client.close() for client in clients))
    return times_ms


def spreading(fleet: Fleet, options: argparse.Namespace) -> list[str]:
    """How even the calls are, and what a slow worker does."""
    body = chelsea_jpeg()
    rows = [
        "",
        f"| {CLIENTS} clients, {WORKERS} workers | max/min a worker | one {SLOW_TIMES} x slower: p50, ms | p99, ms "
        "| calls that it got | p99 if all callers begin at once, ms |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    kinds: dict[str, Callable[[str], AsyncClient]] = {
        'round robin: routing="lookup"': lambda name: AsyncClient(fleet.lookup, service=name, routing="lookup"),
        "two choices": lambda name: AsyncClient(fleet.lookup, service=name),
        "peak EWMA": lambda name: AsyncClient(fleet.lookup, service=name, policy="peak_ewma"),
    }
    with (
        waiting_workers(str(WORKERS), str(WAIT_MS)) as (even_ports, even_counts),
        waiting_workers(str(WORKERS), str(WAIT_MS), str(SLOW_TIMES)) as (slow_ports, slow_counts),
    ):
        fleet.register(even_ports, service="even")
        fleet.register(slow_ports, service="slow")
        for name, kind in kinds.items():
            even_counts()
            uvloop.run(many_clients([kind("even") for _ in range(CLIENTS)], body, options.seconds))
            counts = even_counts()
            slow_counts()
            times_ms = uvloop.run(many_clients([kind("slow") for _ in range(CLIENTS)], body, options.seconds))
            p50, p99 = (percentile(times_ms, share) for share in (0.5, 0.99))
            got = slow_counts()[0] / len(times_ms)
            cold_ms = uvloop.run(
                many_clients([kind("slow") for _ in range(CLIENTS)], body, options.seconds, all_at_once=True)
            )
            numbers = f"{max(counts) / min(counts):.2f} | {p50:.1f} | {p99:.1f} | {got:.1%}"
            rows.append(f"| {name} | {numbers} | {percentile(cold_ms, 0.99):.1f} |")
    return [*rows, *_floors(len(times_ms))]


def _floors(calls: int) -> list[str]:
    """What nobody can do better, without knowing the workers before."""
    learning = CLIENTS / calls
    burst = CALLERS * CLIENTS / WORKERS
    waited_ms = max(0.0, burst - 0.01 * calls) * WAIT_MS * SLOW_TIMES
    return [
        "",
        f"Floors: its fair part of the capacity would be {1 / (1 + SLOW_TIMES * (WORKERS - 1)):.1%} of the calls. One "
        f"call for each client to learn from is {learning:.1%}: p99 is at least its {WAIT_MS * SLOW_TIMES} ms where "
        f"that is more than 1%. All at once, {burst:.0f} calls reach the slow worker before anybody knows: a p99 of "
        f"{waited_ms:.0f} ms.",
    ]


def kept_memory(fleet: Fleet, calls: int) -> str:
    """What Python has allocated after each of four times so many calls, beyond what it had after the first."""
    body = chelsea_jpeg()

    async def measure() -> list[int]:
        kept = []
        async with AsyncClient(fleet.lookup) as client:
            for _ in range(5):
                for _ in range(calls // 10):
                    await asyncio.gather(*(client.classify(body) for _ in range(10)))
                kept.append(tracemalloc.get_traced_memory()[0])
        return kept

    tracemalloc.start()
    kept = uvloop.run(measure())
    tracemalloc.stop()
    return f"\nMemory after each further {calls:,} calls, kB: " + ", ".join(
        f"{(k - kept[0]) / 1000:+.0f}" for k in kept[1:]
    )


def import_s(wanted: str) -> float:
    """Seconds that an import takes in a fresh interpreter, beyond starting it; best of five."""

    def best(statement: str) -> float:
        times = []
        for _ in range(5):
            began_s = time.perf_counter()
            subprocess.run([sys.executable, "-c", statement], check=True)
            times.append(time.perf_counter() - began_s)
        return min(times)

    return best(wanted) - best("pass")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--at-once", type=int, default=8)
    parser.add_argument("--worker", choices=("echo", "sink"), default="echo")
    parser.add_argument("--calls", type=int, default=10_000, help="calls between two looks at the memory")
    options = parser.parse_args()
    os.sched_setaffinity(0, {CLIENT_CORE})
    with ExitStack() as stack:
        fleet = Fleet(stack)
        port = fleet.echo() if options.worker == "echo" else fleet.sink()
        print("\n".join(rates(fleet, port, options)))
        print("\n".join(spreading(fleet, options)))
        print(kept_memory(fleet, options.calls))
    for wanted in ("import p2pclient", "from p2pclient import Client"):
        print(f"\n`{wanted}`: {import_s(wanted):.3f} s")


if __name__ == "__main__":
    main()
