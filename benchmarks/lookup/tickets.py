"""What tickets cost a lookup service: lookups per second of its processor time, with and without.

    python -m benchmarks.lookup.tickets [--seconds 3] [--rounds 5] [--counts 2 1000 10000]

Two lookup services follow the same workers, which want tickets; one signs them. Both are asked in turns (wrk -t1
-c32), and the processor time that the asked process spends is divided by its answers, so that other load on the machine
changes little. Each worker's ticket is signed once per second at most: with few workers nearly every answer is
prepared, with 10,000 nearly every answer needs a signature of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.harness.affinity import CLIENT_CORE
from benchmarks.harness.consul import register
from benchmarks.harness.p2p import Running, agent, lookup_service
from benchmarks.harness.processes import require_programs, threads_cpu_s
from benchmarks.harness.summary import markdown_row, markdown_table
from benchmarks.harness.wrk import wrk

VARIANTS = ("without tickets", "with tickets")


def per_core(lookup: Running, service: str, *, seconds: float) -> float:
    """Lookups per second of processor time of the lookup service."""
    before_s = threads_cpu_s(lookup.pid)
    answered = wrk(f"{lookup.url}/next/{service}", seconds=seconds) * seconds
    return answered / (threads_cpu_s(lookup.pid) - before_s)


def rows(consul_url: str, counts: Sequence[int], *, seconds: float, rounds: int) -> Iterator[list[str]]:
    """A row for each number of workers: the medians, and the median of the ratios within each round."""
    for count in counts:
        service = f"s{count}"
        asyncio.run(register(consul_url, service, _hosts(count), meta={"auth": "ticket"}))
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "keys"
            flags = {"without tickets": [], "with tickets": ["--ticket-keys", str(folder)]}
            lookups = [
                stack.enter_context(
                    lookup_service(consul_url, "--service", service, *flags[variant], knows={service: count})
                )
                for variant in VARIANTS
            ]
            found = [[per_core(each, service, seconds=seconds) for each in lookups] for _ in range(rounds + 1)][1:]
        medians = [statistics.median(column) for column in zip(*found, strict=True)]
        ratio = statistics.median(signed / plain for plain, signed in found)
        yield [f"{count:,}", *(f"{rate:,.0f}" for rate in medians), f"{ratio:.2f}"]


def _hosts(count: int) -> list[tuple[str, int]]:
    return [(f"10.1.{number // 250}.{number % 250 + 1}", 9001) for number in range(count)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--counts", type=int, nargs="+", default=[2, 1_000, 10_000])
    options = parser.parse_args()
    require_programs("wrk")
    with agent(core=CLIENT_CORE) as consul:
        print(markdown_table(["workers; lookups per second of processor time", *VARIANTS, "ratio"], ()))
        for row in rows(consul.url, options.counts, seconds=options.seconds, rounds=options.rounds):
            print(markdown_row(row), flush=True)


if __name__ == "__main__":
    main()
