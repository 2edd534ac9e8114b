"""A large catalogue that never rests: 10,000 workers in 100 services and a change every 10 ms.

    python -m benchmarks.lookup.scale [--seconds 6] [--rounds 3] [--only embedded|real]

For the embedded agent and for a real Consul: lookups with and without the changes, and what the changes cost the
lookup process and Consul. Then what one change costs, by the number of services, of workers in a service, and of
lookup processes that watch. Then what an answer of /instances costs, by which clients may watch by themselves.
The lookup process has one core; Consul and whoever asks share the other.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.harness.consul_servers import Running, embedded_agent, real_consul
from benchmarks.harness.rounds import CLIENT_CORE, P2P, answers, cpu_s, free_port, needs, rss_mb, server, wrk
from benchmarks.lookup.catalog_churn import AGENT, CATALOG, Fleet, Writes, change, name_of, register_all

MAIN = Fleet(services=100, size=100)
EVERY_S = 0.01
FLEETS = (Fleet(10, 10), Fleet(10, 100), Fleet(100, 100), Fleet(10, 1000), Fleet(1, 10_000))
WATCHERS = (1, 2, 4)
PACED_HZ = 500


@dataclass(frozen=True, slots=True)
class Catalogue:
    """A Consul that runs, and how to write to it."""

    name: str
    consul: Running
    writes: Writes


@contextmanager
def catalogue(kind: str, fleet: Fleet) -> Iterator[Catalogue]:
    """The embedded agent or a real Consul that holds a fleet."""
    with ExitStack() as stack:
        if kind == "embedded":
            agent = stack.enter_context(embedded_agent(core=CLIENT_CORE))
            held = Catalogue("embedded agent", agent, AGENT)
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            consul = stack.enter_context(real_consul(folder, core=CLIENT_CORE))
            held = Catalogue("Consul", consul, CATALOG)
        asyncio.run(register_all(held.consul.url, held.writes, fleet))
        yield held


@contextmanager
def lookup_process(consul: Running, fleet: Fleet) -> Iterator[Running]:
    """A lookup process that knows all of a fleet."""
    port = free_port()
    flags = ["--port", str(port), "--service", name_of(0), "--state", "", "--consul", consul.url]
    with server([*P2P, "registry", *flags]) as process:
        url = f"http://127.0.0.1:{port}"
        answers(f"{url}/readyz")
        while _known(url) != fleet.instances:
            time.sleep(0.2)
        yield Running(url, process.pid)


def _known(url: str) -> int:
    return sum(int(service["serving"]) for service in json.loads(answers(f"{url}/services")))


def answered(lookup: Running, url: str, seconds: float) -> tuple[float, float]:
    """Answers a second that one wrk thread gets, and milliseconds of the process's processor time for each."""
    used_s = cpu_s(lookup.pid)
    rate = wrk(url, seconds=seconds)
    return rate, (cpu_s(lookup.pid) - used_s) * 1000 / (rate * seconds)


def lookups(lookup: Running, seconds: float) -> Mapping[str, float]:
    """What clients get of one lookup process: as much as one wrk thread can ask, and at a fixed rate."""
    url = f"{lookup.url}/next"
    rate, each_ms = answered(lookup, url, seconds)
    flags = [url, "--rate", str(PACED_HZ), "--seconds", str(seconds)]
    command = ["taskset", "-c", str(CLIENT_CORE), sys.executable, "-m", "benchmarks.lookup.paced_lookups", *flags]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    p50, p99, worst = (float(number) for number in printed.split())
    return {
        "lookups a second, wrk": rate,
        "lookups a second of its processor time": 1000 / each_ms,
        f"p50 at {PACED_HZ} a second, ms": p50,
        f"p99 at {PACED_HZ} a second, ms": p99,
        f"worst at {PACED_HZ} a second, ms": worst,
    }


async def lookups_meanwhile(held: Catalogue, lookup: Running, seconds: float) -> Mapping[str, float]:
    """The same while the catalogue changes."""
    asking = asyncio.create_task(asyncio.to_thread(lookups, lookup, seconds))
    while not asking.done():
        await change(held.consul.url, held.writes, MAIN, every_s=EVERY_S, seconds=0)
    return await asking


def main_table(held: Catalogue, *, seconds: float, rounds: int) -> str:
    """Lookups at rest and while the catalogue changes, in turns; then the changes alone."""
    rest: list[Mapping[str, float]] = []
    moving: list[Mapping[str, float]] = []
    with lookup_process(held.consul, MAIN) as lookup:
        for _ in range(rounds):
            rest.append(lookups(lookup, seconds))
            moving.append(asyncio.run(lookups_meanwhile(held, lookup, seconds)))
        began_s, used_s = time.monotonic(), (cpu_s(lookup.pid), cpu_s(held.consul.pid))
        made = asyncio.run(change(held.consul.url, held.writes, MAIN, every_s=EVERY_S, seconds=2 * seconds))
        took_s = time.monotonic() - began_s
        ours, theirs = (cpu_s(p.pid) - u for p, u in zip((lookup, held.consul), used_s, strict=True))
        alone = {
            "changes a second": made / took_s,
            "lookup process, % of a core for them": 100 * ours / took_s,
            f"{held.name}, % of a core for them": 100 * theirs / took_s,
            "lookup process, MB": rss_mb(lookup.pid),
        }
    rows = [f"| {held.name}, {MAIN} workers | at rest | changing |", "| --- | --- | --- |"]
    rows += [f"| {name} | {_median(rest, name)} | {_median(moving, name)} |" for name in rest[0]]
    return "\n".join(rows + [f"| {name} | | {value:,.0f} |" for name, value in alone.items()])


def _median(measured: Sequence[Mapping[str, float]], name: str) -> str:
    value = median(m[name] for m in measured)
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def cost_row(held: Catalogue, fleet: Fleet, *, watchers: int, seconds: float) -> str:
    """Milliseconds of processor time that a change costs one lookup process, and Consul."""
    with ExitStack() as stack:
        watching = [stack.enter_context(lookup_process(held.consul, fleet)) for _ in range(watchers)]
        pids = [held.consul.pid, *(lookup.pid for lookup in watching)]
        before = [used_s_at_rest(pid) for pid in pids]
        # Changes that come faster than a follower asks (50 a second) would be counted, but seen together.
        pace_s = max(0.02, fleet.size / 10_000, 0.04 / fleet.services)
        made = asyncio.run(change(held.consul.url, held.writes, fleet, every_s=pace_s, seconds=seconds))
        theirs, *ours = ((used_s_at_rest(pid) - b) * 1000 / made for pid, b in zip(pids, before, strict=True))
    return f"| {held.name} | {fleet} | {watchers} | {median(ours):.1f} | {theirs:.1f} |"


def used_s_at_rest(pid: int) -> float:
    """A process's processor time, once it has nothing more to do."""
    used, before = cpu_s(pid), -1.0
    while used > before + 0.01:
        time.sleep(0.5)
        before, used = used, cpu_s(pid)
    return used


def watch_row(held: Catalogue, fleet: Fleet, *, seconds: float) -> str:
    """What an answer to a client that keeps the list by itself costs, in lookups."""
    with lookup_process(held.consul, fleet) as lookup:
        url = f"{lookup.url}/instances/{name_of(0)}"
        _, whole_ms = answered(lookup, url, seconds)
        _, one_ms = answered(lookup, f"{lookup.url}/next", seconds)
        return f"| {fleet.size:,} | {len(answers(url)):,} | {whole_ms:.2f} | {whole_ms / one_ms:,.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("embedded", "real"))
    options = parser.parse_args()
    needs("wrk")
    kinds = (options.only,) if options.only else ("embedded", "real")
    for kind in kinds:
        with catalogue(kind, MAIN) as held:
            print(main_table(held, seconds=options.seconds, rounds=options.rounds), end="\n\n", flush=True)
    print("| | services x workers | lookup processes | ms a change, each of them | ms a change, Consul |")
    print("| --- | --- | --- | --- | --- |", flush=True)
    for kind in kinds:
        for fleet in FLEETS:
            with catalogue(kind, fleet) as held:
                for watchers in WATCHERS if fleet == MAIN else (1,):
                    print(cost_row(held, fleet, watchers=watchers, seconds=options.seconds), flush=True)
    print("\n| workers in the service | bytes of an answer | ms of processor time | lookups in that time |")
    print("| --- | --- | --- | --- |", flush=True)
    for size in (10, 100, 1000):
        with catalogue(kinds[0], Fleet(1, size)) as held:
            print(watch_row(held, Fleet(1, size), seconds=options.seconds), flush=True)


if __name__ == "__main__":
    main()
