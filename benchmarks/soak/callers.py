"""The callers of all kinds as one process, at a fixed rate each; it tells on request what came of the calls.

The process prints a line of JSON for each line that it reads from its standard input, and ends with its input.
"""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

import aiohttp

from benchmarks.harness.processes import program
from benchmarks.soak.calls import WITHIN_S, Call, kinds
from benchmarks.soak.targets import Targets
from p2pclient import AsyncClient

RATES_HZ = {
    "p2pclient: classify": 10.0,
    "p2pclient: classify, a lookup each": 4.0,
    "p2pclient: predict tensors": 10.0,
    "curl: a lookup, then the image": 1.0,
    "curl -L: one step by 307": 1.0,
    "JSON: an image in base64": 2.0,
    "JSON: tensors": 5.0,
    "lookups alone": 10.0,
    "DNS: SRV": 20.0,
}
"""Calls per second of each kind."""

REASONS_AT_MOST = 5


@dataclass(slots=True)
class Tally:
    """What came of the calls of one kind: `again` counts further attempts, `reasons` are sentences of failures."""

    calls: int = 0
    again: int = 0
    failed: int = 0
    longest_s: float = 0.0
    reasons: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Report:
    """What came of all calls by kind, and the unfinished tasks of the callers' event loop."""

    tallies: Mapping[str, Tally]
    tasks: int


class Callers:
    """The process of the callers, as the benchmark speaks to it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.pid = process.pid
        self._orders, self._reports = process.stdin, process.stdout

    def report(self) -> Report:
        """What came of the calls until now."""
        print(file=self._orders, flush=True)
        told = json.loads(self._reports.readline())
        return Report({kind: Tally(**tally) for kind, tally in told["tallies"].items()}, told["tasks"])


@contextmanager
def started_callers(targets: Targets) -> Iterator[Callers]:
    """The callers' process, which calls until the end of the block."""
    with program(__name__, targets.to_json()) as process:
        yield Callers(process)


async def call_until_told(targets: Targets) -> None:
    """Call until standard input ends."""
    async with (
        AsyncClient(targets.lookup_url, timeout_s=WITHIN_S) as watching,
        AsyncClient(targets.lookup_url, timeout_s=WITHIN_S, routing="lookup") as asking,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=WITHIN_S)) as http,
    ):
        tallies = {kind: Tally() for kind in RATES_HZ}
        calls = kinds(targets, watching, asking, http)
        tasks = [asyncio.create_task(_caller(call, tallies[kind], RATES_HZ[kind])) for kind, call in calls.items()]
        loop = asyncio.get_running_loop()
        while await loop.run_in_executor(None, sys.stdin.readline):
            told = {kind: asdict(tally) for kind, tally in tallies.items()}
            print(json.dumps({"tallies": told, "tasks": len(asyncio.all_tasks())}), flush=True)
            for task in tasks:
                if task.done():
                    task.result()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _caller(call: Call, tally: Tally, rate_hz: float) -> None:
    """One call after the other, `rate_hz` of them per second, and fewer where a call takes longer."""
    due_s = time.monotonic()
    while True:
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        began_s = time.monotonic()
        try:
            tally.again += await call()
        except Exception as error:  # every failure of a call is a finding, a fault of the client's too
            tally.failed += 1
            if len(tally.reasons) < REASONS_AT_MOST:
                tally.reasons.append(f"{type(error).__name__}: {error}"[:200])
        tally.calls += 1
        tally.longest_s = max(tally.longest_s, time.monotonic() - began_s)
        due_s = max(due_s + 1 / rate_hz, time.monotonic())


if __name__ == "__main__":
    logging.disable()  # the client's warnings would stand between the lines of the benchmark
    asyncio.run(call_until_told(Targets.from_json(sys.argv[1])))
