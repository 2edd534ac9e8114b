"""How evenly many clients spread their calls over workers, and what a slow worker does to their latencies."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import uvloop

from benchmarks.client.deployment import Deployment
from benchmarks.harness.affinity import SERVER_CORE
from benchmarks.harness.summary import markdown_table, percentile
from p2pclient import AsyncClient
from tests.support.photos import chelsea_jpeg

CLIENTS, WORKERS, WAIT_MS, SLOW_TIMES = 20, 10, 5, 5
CALLERS, PAUSE_S = 16, 1.2

ClientOf = Callable[[str], AsyncClient]
"""Makes a client of the service that it is given."""


def spreading_table(deployment: Deployment, *, seconds: float) -> str:
    """A row for each way to pick a worker, and the bounds that no way can pass."""
    head = [
        f"{CLIENTS} clients, {WORKERS} workers",
        *(
            "max/min calls per worker",
            f"one worker {SLOW_TIMES} x slower: p50, ms",
            "p99, ms",
            "its share of the calls",
        ),
        "p99 if all callers begin at once, ms",
    ]
    lookup = deployment.lookup
    ways: dict[str, ClientOf] = {
        'round robin: routing="lookup"': lambda service: AsyncClient(lookup, service=service, routing="lookup"),
        "two choices": lambda service: AsyncClient(lookup, service=service),
    }
    with (
        counting_workers(str(WORKERS), str(WAIT_MS)) as (even_ports, even_counts),
        counting_workers(str(WORKERS), str(WAIT_MS), str(SLOW_TIMES)) as (slow_ports, slow_counts),
    ):
        deployment.register("even", even_ports)
        deployment.register("slow", slow_ports)
        measured = {name: _measure(way, even_counts, slow_counts, seconds=seconds) for name, way in ways.items()}
    rows = [[name, *cells] for name, (cells, _) in measured.items()]
    *_, (_, calls) = measured.values()
    return f"{markdown_table(head, rows)}\n\n{_bounds(calls)}"


def _measure(
    way: ClientOf, even_counts: Callable[[], list[int]], slow_counts: Callable[[], list[int]], *, seconds: float
) -> tuple[list[str], int]:
    """The cells of one way to pick, and how many calls reached the service with the slow worker."""

    def call(service: str, *, all_at_once: bool = False) -> list[float]:
        clients = [way(service) for _ in range(CLIENTS)]
        return uvloop.run(_call(clients, chelsea_jpeg(), seconds, all_at_once=all_at_once))

    even_counts()
    call("even")
    counts = even_counts()
    slow_counts()
    times_ms = call("slow")
    slow_share = slow_counts()[0] / len(times_ms)
    p50, p99 = (percentile(times_ms, share) for share in (0.5, 0.99))
    burst_p99 = percentile(call("slow", all_at_once=True), 0.99)
    cells = [f"{max(counts) / min(counts):.2f}", f"{p50:.1f}", f"{p99:.1f}", f"{slow_share:.1%}", f"{burst_p99:.1f}"]
    return cells, len(times_ms)


async def _call(clients: Sequence[AsyncClient], body: bytes, seconds: float, *, all_at_once: bool) -> list[float]:
    """The latencies in ms of all calls of all clients, whose callers call one after the other, with random pauses.

    Callers begin at a random moment, or, `all_at_once`, in the same moment, when no client knows anything yet.
    """
    times_ms: list[float] = []
    until_s = time.perf_counter() + seconds

    async def call_repeatedly(client: AsyncClient) -> None:
        chance = random.Random()
        if not all_at_once:
            await asyncio.sleep(chance.uniform(0, PAUSE_S))
        while (began_s := time.perf_counter()) < until_s:
            await client.classify(body)
            times_ms.append((time.perf_counter() - began_s) * 1000)
            await asyncio.sleep(chance.uniform(0, PAUSE_S))

    try:
        await asyncio.gather(*(call_repeatedly(client) for client in clients for _ in range(CALLERS)))
    finally:
        await asyncio.gather(*(client.close() for client in clients))
    return times_ms


@contextmanager
def counting_workers(*arguments: str) -> Iterator[tuple[list[int], Callable[[], list[int]]]]:
    """Workers of benchmarks.client.counting_workers: their ports, and a function that returns their counts."""
    command = [
        *("taskset", "-c", str(SERVER_CORE)),
        *(sys.executable, "-m", "benchmarks.client.counting_workers", *arguments),
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        orders, answers = process.stdin, process.stdout

        def counts() -> list[int]:
            orders.write("\n")
            orders.flush()
            return [int(count) for count in answers.readline().split()]

        yield [int(port) for port in answers.readline().split()], counts
        orders.close()


def _bounds(calls: int) -> str:
    """The figures that no client can pass that does not know the workers before it calls them."""
    learning = CLIENTS / calls
    burst = CALLERS * CLIENTS / WORKERS
    waited_ms = max(0.0, burst - 0.01 * calls) * WAIT_MS * SLOW_TIMES
    return (
        f"Bounds: the slow worker's fair part of the capacity is {1 / (1 + SLOW_TIMES * (WORKERS - 1)):.1%} of the "
        f"calls. One call for each client to learn from is {learning:.1%}: p99 is at least its "
        f"{WAIT_MS * SLOW_TIMES} ms where that is more than 1%. If all callers begin at once, {burst:.0f} calls reach "
        f"the slow worker before any client knows it: a p99 of {waited_ms:.0f} ms."
    )
