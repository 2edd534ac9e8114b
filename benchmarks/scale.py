"""A large catalogue that never rests: 10,000 workers in 100 services and a change every 10 ms.

    python -m benchmarks.scale [--seconds 6] [--rounds 3] [--consul both|embedded|real]

Printed for the embedded agent and for a real Consul: lookups with and without the changes (all that one core
answers, and some at a fixed rate), the lookup process's memory and its share of a core; then what one change costs
it by the number of services and of workers a service; then, on the real Consul, what a change costs Consul by the
number of lookup processes that watch; and what an answer of /instances costs, on which clients may watch by themselves.
One core belongs to the lookup process, the other to Consul and whoever asks.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.churn import AGENT, CATALOG, Fleet, Writes, change, name_of, register_all
from benchmarks.consuls import Running, embedded_agent, real_consul
from benchmarks.contest import CLIENT_CORE, P2P, answers, cpu_s, free_port, needs, rss_mb, server, wrk

MAIN = Fleet(services=100, size=100)
EVERY_S = 0.01
FLEETS = (Fleet(10, 10), Fleet(10, 100), Fleet(100, 100), Fleet(10, 1000), Fleet(1, 10_000))
WATCHERS = (1, 2, 4)
PACED_HZ = 500


@dataclass(frozen=True, slots=True)
class Lookups:
    """Measured on one lookup process: a second, and in milliseconds."""

    rate: float
    p99_saturated_ms: float
    p50_paced_ms: float
    p99_paced_ms: float
    worst_paced_ms: float


@contextmanager
def lookup_process(consul: str, fleet: Fleet) -> Iterator[Running]:
    """A lookup process that knows all of a fleet."""
    port = free_port()
    flags = ["--port", str(port), "--service", name_of(0), "--state", "", "--consul", consul]
    with server([*P2P, "registry", *flags]) as process:
        url = f"http://127.0.0.1:{port}"
        answers(f"{url}/readyz")
        while _known(url) != fleet.instances:
            time.sleep(0.2)
        yield Running(url, process.pid)


def _known(url: str) -> int:
    return sum(int(service["serving"]) for service in json.loads(answers(f"{url}/services")))


def saturated(url: str, *, seconds: float) -> tuple[float, float]:
    """Lookups a second that one wrk thread gets, and their p99 in milliseconds."""
    command = ["taskset", "-c", str(CLIENT_CORE), "wrk", "-t1", "-c32", "--latency", f"-d{seconds:.0f}s", url]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate, p99 = re.search(r"Requests/sec:\s*([\d.]+)", printed), re.search(r"99%\s+([\d.]+)(us|ms|s)", printed)
    assert rate and p99 and "Non-2xx" not in printed, printed
    return float(rate[1]), float(p99[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[p99[2]]


def paced(url: str, *, seconds: float) -> Sequence[float]:
    """p50, p99 and the worst of lookups at a fixed rate, in milliseconds."""
    flags = [url, "--rate", str(PACED_HZ), "--seconds", str(seconds)]
    command = ["taskset", "-c", str(CLIENT_CORE), sys.executable, "-m", "benchmarks.paced", *flags]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [float(number) for number in printed.split()]


def _lookups(url: str, seconds: float) -> Lookups:
    return Lookups(*saturated(url, seconds=seconds), *paced(url, seconds=seconds))


def _median(measured: Sequence[Lookups]) -> Lookups:
    return Lookups(*(median(getattr(m, name) for m in measured) for name in Lookups.__slots__))


async def under_change(consul: str, writes: Writes, url: str, seconds: float) -> Lookups:
    """What lookups get while the catalogue changes."""
    asking = asyncio.create_task(asyncio.to_thread(_lookups, url, seconds))
    while not asking.done():
        await change(consul, writes, MAIN, every_s=EVERY_S, seconds=0)
    return await asking


def main_table(consul: Running, writes: Writes, *, seconds: float, rounds: int) -> str:
    """Lookups with and without changes in turns, memory, and the cost of changes alone."""
    still, moving = [], []
    with lookup_process(consul.url, MAIN) as lookup:
        url = f"{lookup.url}/next"
        for _ in range(rounds):
            still.append(_lookups(url, seconds))
            moving.append(asyncio.run(under_change(consul.url, writes, url, seconds)))
        began_s, used = time.monotonic(), (cpu_s(lookup.pid), cpu_s(consul.pid))
        made = asyncio.run(change(consul.url, writes, MAIN, every_s=EVERY_S, seconds=2 * seconds))
        took_s, memory_mb = time.monotonic() - began_s, rss_mb(lookup.pid)
        shares = [(now - before) / took_s for now, before in zip((cpu_s(lookup.pid), cpu_s(consul.pid)), used)]
        rows = ["| | at rest | changing |", "| --- | --- | --- |"]
        for name in Lookups.__slots__:
            rest, churn = (getattr(_median(m), name) for m in (still, moving))
            rows.append(f"| {name} | {rest:,.2f} | {churn:,.2f} |")
        rows.append(f"| changes a second | 0 | {made / took_s:.0f} |")
        rows.append(f"| lookup process, share of a core | 0 | {shares[0]:.2f} |")
        rows.append(f"| Consul, share of a core | | {shares[1]:.2f} |")
        rows.append(f"| lookup process, MB | | {memory_mb:.0f} |")
        return "\n".join(rows)


def cost(consul: Running, writes: Writes, fleet: Fleet, *, watchers: int, seconds: float) -> tuple[float, float]:
    """Milliseconds of processor time that a change costs one lookup process, and Consul."""
    with ExitStack() as stack:
        lookups = [stack.enter_context(lookup_process(consul.url, fleet)) for _ in range(watchers)]
        pids = [consul.pid, *(lookup.pid for lookup in lookups)]
        before = [at_rest_s(pid) for pid in pids]
        pace_s = max(0.02, fleet.size / 10_000)
        made = asyncio.run(change(consul.url, writes, fleet, every_s=pace_s, seconds=seconds))
        used = [(at_rest_s(pid) - b) * 1000 / made for pid, b in zip(pids, before)]
        return median(used[1:]), used[0]


def at_rest_s(pid: int) -> float:
    """A process's processor time once it does nothing more."""
    used, before = cpu_s(pid), -1.0
    while used > before + 0.01:
        time.sleep(0.5)
        before, used = used, cpu_s(pid)
    return used


