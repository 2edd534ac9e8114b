"""Twenty well-behaved callers of p2pclient as a process: each makes a call twice a second and notes what came of it.

Eight callers watch the lookup service, six ask it at each call, and six ask Consul. The process is told "begin" and
"end" on its standard input, and prints a line of JSON at each end.
"""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Literal

from benchmarks.attack.targets import SERVICE, Targets
from benchmarks.harness.processes import program
from benchmarks.harness.summary import percentile
from p2pclient import AsyncClient, P2PError
from tests.support.photos import chelsea_jpeg

DEADLINE_S = 10.0
PERIOD_S = 0.5

_ROUTES: tuple[tuple[Literal["registry", "consul"], Literal["watch", "lookup"], int], ...] = (
    ("registry", "watch", 8),
    ("registry", "lookup", 6),
    ("consul", "watch", 6),
)
CALLERS = sum(callers for _, _, callers in _ROUTES)


@dataclass(slots=True)
class Calls:
    """What came of the calls of a period: the seconds that each took, and the sentences of those that failed."""

    took_s: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def p99_s(self) -> float:
        """The time within which 99 of 100 calls ended."""
        return percentile(self.took_s, 0.99)

    @property
    def longest_s(self) -> float:
        """The time of the longest call."""
        return max(self.took_s)


class Callers:
    """The process of the callers, as the benchmark speaks to it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._orders, self._reports = process.stdin, process.stdout

    def begin(self) -> None:
        """Let the callers call from now on."""
        print("begin", file=self._orders, flush=True)

    def end(self) -> Calls:
        """Let the calls that have begun end; all calls since `begin`."""
        print("end", file=self._orders, flush=True)
        return Calls(**json.loads(self._reports.readline()))


@contextmanager
def started_callers(targets: Targets) -> Iterator[Callers]:
    """The callers' process, which has made its first calls."""
    with program(__name__, targets.to_json()) as process:
        callers = Callers(process)
        callers.begin()
        time.sleep(2 * PERIOD_S)
        callers.end()
        yield callers


async def call_until_told(targets: Targets) -> None:
    """Follow the orders on standard input until it ends."""
    photo = chelsea_jpeg()
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        clients = []
        for through, routing, callers in _ROUTES:
            registry = (
                f"http://127.0.0.1:{targets.lookup}" if through == "registry" else f"consul://127.0.0.1:{targets.relay}"
            )
            client = AsyncClient(registry, service=SERVICE, routing=routing, timeout_s=DEADLINE_S)
            clients += [await stack.enter_async_context(client)] * callers
        while await loop.run_in_executor(None, sys.stdin.readline):
            calls, over = Calls(), asyncio.Event()
            tasks = [
                asyncio.create_task(_caller(client, photo, calls, over, first_s=PERIOD_S * number / CALLERS))
                for number, client in enumerate(clients)
            ]
            await loop.run_in_executor(None, sys.stdin.readline)
            over.set()
            await asyncio.gather(*tasks)
            print(json.dumps({"took_s": calls.took_s, "failures": calls.failures}), flush=True)


async def _caller(client: AsyncClient, photo: bytes, calls: Calls, over: asyncio.Event, *, first_s: float) -> None:
    """One caller: a call every PERIOD_S, the first after `first_s`; the next one later where a call takes longer."""
    due_s = time.perf_counter() + first_s
    while not over.is_set():
        await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
        began_s = time.perf_counter()
        try:
            await client.classify(photo)
        except P2PError as error:
            calls.failures.append(f"{type(error).__name__}: {error}"[:200])
        calls.took_s.append(time.perf_counter() - began_s)
        due_s = max(due_s + PERIOD_S, time.perf_counter())


if __name__ == "__main__":
    logging.disable()  # the client's warnings would stand between the lines of the benchmark
    asyncio.run(call_until_told(Targets.from_json(sys.argv[1])))
