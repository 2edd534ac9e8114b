"""The lookup service with 10,000 workers in 100 services, one of which changes every 10 ms.

    python -m benchmarks.lookup.scale [--seconds 6] [--rounds 3] [--only embedded|real]

Three tables. The first, for the embedded agent and for a real Consul: lookups per second with and without changes, and
the processor time that changes take from the lookup process and from Consul. The second: what one change costs, by
the number of services, of workers in a service, and of lookup processes that watch. The third: what an answer of
/instances costs, which clients that watch ask for. The lookup process has one core; Consul and
the load share the other.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.harness.affinity import CLIENT_CORE
from benchmarks.harness.consul import real_consul
from benchmarks.harness.p2p import Running, agent, lookup_service
from benchmarks.harness.processes import cpu_s, get, require_programs, rss_mb
from benchmarks.harness.summary import markdown_row, markdown_table
from benchmarks.harness.wrk import wrk
from benchmarks.lookup.catalog_churn import AGENT, CATALOG, Fleet, Writes, change, name_of, register_all

MAIN = Fleet(services=100, size=100)
EVERY_S = 0.01
FLEETS = (Fleet(10, 10), Fleet(10, 100), Fleet(100, 100), Fleet(10, 1000), Fleet(1, 10_000))
WATCHERS = (1, 2, 4)
PACED_HZ = 500


@dataclass(frozen=True, slots=True)
class Catalog:
    """A Consul that runs as process `pid`, and the calls that write to it."""

    name: str
    url: str
    pid: int
    writes: Writes


@contextmanager
def running_catalog(kind: str, fleet: Fleet) -> Iterator[Catalog]:
    """The embedded agent or a real Consul that holds a fleet."""
    with ExitStack() as stack:
        if kind == "embedded":
            embedded = stack.enter_context(agent(core=CLIENT_CORE))
            catalog = Catalog("embedded agent", embedded.url, embedded.pid, AGENT)
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            consul = stack.enter_context(real_consul(folder, core=CLIENT_CORE))
            catalog = Catalog("Consul", consul.url, consul.pid, CATALOG)
        asyncio.run(register_all(catalog.url, catalog.writes, fleet))
        yield catalog


@contextmanager
def lookup_process(consul_url: str, fleet: Fleet) -> Iterator[Running]:
    """A lookup process that knows all workers of a fleet."""
    expected = {name_of(service): fleet.size for service in range(fleet.services)}
    with lookup_service(consul_url, "--service", name_of(0), knows=expected) as lookup:
        yield lookup


def answered(lookup: Running, url: str, seconds: float) -> tuple[float, float]:
    """Answers per second that one thread of wrk gets, and the process's processor time for each, in ms."""
    used_s = cpu_s(lookup.pid)
    rate = wrk(url, seconds=seconds)
    return rate, (cpu_s(lookup.pid) - used_s) * 1000 / (rate * max(1, round(seconds)))


def lookups(lookup: Running, seconds: float) -> Mapping[str, float]:
    """What clients get of one lookup process: answers per second to one thread of wrk, latencies at a fixed rate."""
    url = f"{lookup.url}/next"
    rate, each_ms = answered(lookup, url, seconds)
    flags = [url, "--rate", str(PACED_HZ), "--seconds", str(seconds)]
    command = ["taskset", "-c", str(CLIENT_CORE), sys.executable, "-m", "benchmarks.lookup.paced_lookups", *flags]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    p50, p99, worst = (float(number) for number in printed.split())
    return {
        "lookups per second, wrk": rate,
        "lookups per second of its processor time": 1000 / each_ms,
        f"p50 at {PACED_HZ} per second, ms": p50,
        f"p99 at {PACED_HZ} per second, ms": p99,
        f"worst at {PACED_HZ} per second, ms": worst,
    }


async def lookups_meanwhile(catalog: Catalog, lookup: Running, seconds: float) -> Mapping[str, float]:
    """`lookups` while the catalog changes."""
    asking = asyncio.create_task(asyncio.to_thread(lookups, lookup, seconds))
    while not asking.done():
        await change(catalog.url, catalog.writes, MAIN, every_s=EVERY_S, seconds=0)
    return await asking


def main_table(catalog: Catalog, *, seconds: float, rounds: int) -> str:
    """Lookups with and without changes of the catalog, in turns; then the changes alone."""
    rest: list[Mapping[str, float]] = []
    moving: list[Mapping[str, float]] = []
    with lookup_process(catalog.url, MAIN) as lookup:
        for _ in range(rounds):
            rest.append(lookups(lookup, seconds))
            moving.append(asyncio.run(lookups_meanwhile(catalog, lookup, seconds)))
        began_s, used_s = time.monotonic(), (cpu_s(lookup.pid), cpu_s(catalog.pid))
        made = asyncio.run(change(catalog.url, catalog.writes, MAIN, every_s=EVERY_S, seconds=2 * seconds))
        took_s = time.monotonic() - began_s
        ours, theirs = (cpu_s(pid) - used for pid, used in zip((lookup.pid, catalog.pid), used_s, strict=True))
        alone = {
            "changes per second": made / took_s,
            "lookup process, % of a core for them": 100 * ours / took_s,
            f"{catalog.name}, % of a core for them": 100 * theirs / took_s,
            "lookup process, MB": rss_mb(lookup.pid),
        }
    rows = [[name, _median(rest, name), _median(moving, name)] for name in rest[0]]
    rows += [[name, "", f"{value:,.0f}"] for name, value in alone.items()]
    return markdown_table([f"{catalog.name}, {MAIN} workers", "at rest", "changing"], rows)


def _median(measured: Sequence[Mapping[str, float]], name: str) -> str:
    value = median(m[name] for m in measured)
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def cost_row(catalog: Catalog, fleet: Fleet, *, watchers: int, seconds: float) -> str:
    """The row of a fleet: the processor time that one change costs each lookup process, and Consul, in ms."""
    with ExitStack() as stack:
        watching = [stack.enter_context(lookup_process(catalog.url, fleet)) for _ in range(watchers)]
        pids = [catalog.pid, *(lookup.pid for lookup in watching)]
        before = [used_s_at_rest(pid) for pid in pids]
        # The lookup process asks at most 50 times per second, so it would see faster changes together.
        pace_s = max(0.02, fleet.size / 10_000, 0.04 / fleet.services)
        made = asyncio.run(change(catalog.url, catalog.writes, fleet, every_s=pace_s, seconds=seconds))
        theirs, *ours = ((used_s_at_rest(pid) - b) * 1000 / made for pid, b in zip(pids, before, strict=True))
    return markdown_row([catalog.name, str(fleet), str(watchers), f"{median(ours):.1f}", f"{theirs:.1f}"])


def used_s_at_rest(pid: int) -> float:
    """The processor time of a process, in seconds, once the process is idle."""
    used, before = cpu_s(pid), -1.0
    while used > before + 0.01:
        time.sleep(0.5)
        before, used = used, cpu_s(pid)
    return used


def watch_row(catalog: Catalog, fleet: Fleet, *, seconds: float) -> str:
    """The row of a fleet: the processor time of one answer of /instances, in ms and in lookups."""
    with lookup_process(catalog.url, fleet) as lookup:
        url = f"{lookup.url}/instances/{name_of(0)}"
        _, whole_ms = answered(lookup, url, seconds)
        _, one_ms = answered(lookup, f"{lookup.url}/next", seconds)
        length = f"{len(get(url)):,}"
    return markdown_row([f"{fleet.size:,}", length, f"{whole_ms:.2f}", f"{whole_ms / one_ms:,.0f}"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("embedded", "real"))
    options = parser.parse_args()
    require_programs("wrk")
    kinds = (options.only,) if options.only else ("embedded", "real")
    for kind in kinds:
        with running_catalog(kind, MAIN) as catalog:
            print(main_table(catalog, seconds=options.seconds, rounds=options.rounds), end="\n\n", flush=True)
    print_cost_of_changes(kinds, seconds=options.seconds)
    print_cost_of_lists(kinds[0], seconds=options.seconds)


def print_cost_of_changes(kinds: Sequence[str], *, seconds: float) -> None:
    """Print the second table."""
    head = ["", "services x workers", "lookup processes", "ms per change, each of them", "ms per change, Consul"]
    print(markdown_table(head, ()), flush=True)
    for kind in kinds:
        for fleet in FLEETS:
            with running_catalog(kind, fleet) as catalog:
                for watchers in WATCHERS if fleet == MAIN else (1,):
                    print(cost_row(catalog, fleet, watchers=watchers, seconds=seconds), flush=True)


def print_cost_of_lists(kind: str, *, seconds: float) -> None:
    """Print the third table."""
    head = ["workers in the service", "bytes of an answer", "ms of processor time", "lookups in that time"]
    print(f"\n{markdown_table(head, ())}", flush=True)
    for size in (10, 100, 1000):
        with running_catalog(kind, Fleet(1, size)) as catalog:
            print(watch_row(catalog, Fleet(1, size), seconds=seconds), flush=True)


if __name__ == "__main__":
    main()
