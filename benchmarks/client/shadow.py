"""What a shadow costs the callers whose calls it copies: p99 of calls with copies of 5 % of them and without.

    python -m benchmarks.client.shadow [--seconds 5] [--rounds 11] [--percent 5]

Four workers of version 3 and one of version 4 each wait 10 ms before they answer, and serve one request at a time.
Eight callers of one client call one after the other for a turn without a shadow and for a turn with one, again and
again; bodies have 35 kB. p99 is taken over the calls of all turns of a kind, and by turn for the median of the ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from contextlib import ExitStack

import uvloop

from benchmarks.client.deployment import SERVICE, Deployment
from benchmarks.client.spreading import counting_workers
from benchmarks.harness.consul import register
from benchmarks.harness.p2p import wait_for_workers
from benchmarks.harness.rounds import alternate
from benchmarks.harness.summary import markdown_table, paired_ratio, percentile
from p2pclient import AsyncClient
from registry.consul.key_value import KeyValue
from registry.consul.settings import ConsulSettings
from registry.rollout.record import Rollout, key_of, written
from tests.support.photos import chelsea_jpeg

WORKERS, WAIT_MS, CALLERS = 4, 10.0, 8
SETTLE_S = 0.5
"""For the client to have taken up the record before a turn."""


class Caller:
    """One client and its callers; a turn returns p99 in milliseconds."""

    def __init__(self, runner: asyncio.Runner, lookup: str, consul: str, seconds: float) -> None:
        self._runner = runner
        self._client = AsyncClient(lookup)
        self._store = KeyValue(ConsulSettings(url=consul))
        self._seconds = seconds
        self._body = chelsea_jpeg()
        self.times_ms: dict[float, list[float]] = {}

    def turn(self, percent: float) -> float:
        """Call for so long, with copies of so many percent of the calls."""
        return self._runner.run(self._turn(percent))

    async def _turn(self, percent: float) -> float:
        shadows = {"4": percent} if percent else {}
        await self._store.put(key_of(SERVICE), written(Rollout({"3": 1}, shadows)))
        await self._client.classify(self._body)
        await asyncio.sleep(SETTLE_S)
        times_ms: list[float] = []
        until_s = time.perf_counter() + self._seconds

        async def one_after_another() -> None:
            while (began_s := time.perf_counter()) < until_s:
                await self._client.classify(self._body)
                times_ms.append((time.perf_counter() - began_s) * 1000)

        await asyncio.gather(*(one_after_another() for _ in range(CALLERS)))
        self.times_ms.setdefault(percent, []).extend(times_ms)
        return percentile(times_ms, 0.99)

    async def close(self) -> None:
        await self._client.close()
        await self._store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--percent", type=float, default=5)
    options = parser.parse_args()
    with ExitStack() as stack:
        deployment = Deployment(stack)
        old, _ = stack.enter_context(counting_workers(str(WORKERS), str(WAIT_MS)))
        new, copies = stack.enter_context(counting_workers("1", str(WAIT_MS)))
        for version, ports in (("3", old), ("4", new)):
            addresses = [("127.0.0.1", port) for port in ports]
            asyncio.run(register(deployment.consul, SERVICE, addresses, meta={"version": version}))
        wait_for_workers(deployment.lookup, {SERVICE: WORKERS + 1})
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            caller = Caller(runner, deployment.lookup, deployment.consul, options.seconds)
            turns = {"without": lambda: caller.turn(0.0), "with": lambda: caller.turn(options.percent)}
            p99_ms = alternate(turns, rounds=options.rounds)
            runner.run(caller.close())
        ratio = paired_ratio(p99_ms["with"], p99_ms["without"])
        rows = [
            [f"copies of {percent:g} %", str(len(times)), *(f"{percentile(times, q):.2f}" for q in (0.5, 0.9, 0.99))]
            for percent, times in caller.times_ms.items()
        ]
        print(markdown_table(["", "calls", "p50, ms", "p90, ms", "p99, ms"], rows))
        print(f"\np99 with copies beside p99 without, median of the rounds: {ratio:.4f}; copies sent: {copies()[0]}")


if __name__ == "__main__":
    main()
