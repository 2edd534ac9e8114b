"""How soon the lookup service answers with a change in Consul, and for how long it hands out a killed worker.

    python -m benchmarks.lookup.propagation [--changes 200] [--kills 10]

On a real Consul a worker is registered, its check fails, its check passes, and it is deregistered, again and again,
while one client asks the lookup service for all workers in rotation as fast as it can. The time runs from sending the
change to Consul until an answer that shows it has arrived; it contains Consul's own work and both requests. Then real
`p2p worker` processes are killed (kill -9), each at a random moment, until none is handed out any more.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.harness.consul import real_consul, register
from benchmarks.harness.p2p import lookup_service, worker
from benchmarks.harness.summary import percentile, spread_table

SERVICE = "propagation"
OTHERS = 20
"""Workers that stay. At most so many are killed: in panic mode the killed ones would be handed out, too."""

SHOWN_WITHIN_S = 60.0
CHANGES_P99_MS = 50.0
KILLS_WORST_S = 5.0


class LatestAnswer:
    """The latest answer of the lookup service, which is asked without a pause over one persistent connection."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self._url = url
        self._asked = asyncio.Condition()
        self._addresses: frozenset[str] = frozenset()
        self._at_s = 0.0

    async def ask(self) -> None:
        """Ask until cancelled."""
        while True:
            async with self._http.get(self._url) as answer:
                text = await answer.text()
            async with self._asked:
                self._addresses, self._at_s = frozenset(text.split()), time.perf_counter()
                self._asked.notify_all()
            await asyncio.sleep(0.0005)

    async def until(self, shown: Callable[[frozenset[str]], bool]) -> float:
        """Wait for an answer whose addresses `shown` accepts; when it arrived (time.perf_counter, seconds)."""
        async with asyncio.timeout(SHOWN_WITHIN_S), self._asked:
            await self._asked.wait_for(lambda: shown(self._addresses))
            return self._at_s


@asynccontextmanager
async def polling(url: str) -> AsyncIterator[LatestAnswer]:
    """Poll `url` of the lookup service for as long as the block lasts."""
    async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as group:
        latest = LatestAnswer(http, url)
        polling = group.create_task(latest.ask(), name="poll the lookup service")
        yield latest
        polling.cancel()


async def time_changes(consul: str, url: str, *, count: int) -> dict[str, list[float]]:
    """Milliseconds from sending each of `count` changes to an answer with it, by the kind of change."""
    measured: dict[str, list[float]] = {
        kind: [] for kind in ("registered", "check failed", "check passed", "deregistered")
    }
    async with polling(url) as answers, aiohttp.ClientSession(consul) as http:
        for number in range(0, count, len(measured)):
            for kind, path, body in _changes_of_a_worker(9000 + number):
                await asyncio.sleep(random.uniform(0, 0.1))
                began_s = time.perf_counter()
                async with http.put(path, json=body) as answer:
                    answer.raise_for_status()
                there, address = kind in ("registered", "check passed"), f"127.0.0.1:{9000 + number}"
                shown_s = await answers.until(_with(address) if there else _without(address))
                measured[kind].append((shown_s - began_s) * 1000)
    return measured


def _with(address: str) -> Callable[[frozenset[str]], bool]:
    return lambda shown: address in shown


def _without(address: str) -> Callable[[frozenset[str]], bool]:
    return lambda shown: address not in shown


def _changes_of_a_worker(port: int) -> list[tuple[str, str, Mapping[str, Any] | None]]:
    """The four changes of one worker: the kind of change, its path in Consul's API, and the body of the request."""
    name = f"{SERVICE}-{port}"
    check = {"CheckID": f"{name}:ttl", "TTL": "600s", "Status": "passing"}
    body = {"Name": SERVICE, "ID": name, "Address": "127.0.0.1", "Port": port, "Tags": ["p2p"], "Check": check}
    return [
        ("registered", "/v1/agent/service/register", body),
        ("check failed", f"/v1/agent/check/fail/{name}:ttl", None),
        ("check passed", f"/v1/agent/check/pass/{name}:ttl", None),
        ("deregistered", f"/v1/agent/service/deregister/{name}", None),
    ]


async def time_kills(consul: str, url: str, *, count: int) -> list[float]:
    """Seconds from the kill -9 of each of `count` worker processes until it is not handed out any more."""
    async with polling(url) as answers:
        with ExitStack() as stack:
            started = [stack.enter_context(worker(consul, "--service", SERVICE, core=None)) for _ in range(count)]
            workers = {one.url.removeprefix("http://"): one.process for one in started}
            await answers.until(lambda shown: shown >= workers.keys())

            async def kill(address: str) -> float:
                await asyncio.sleep(random.uniform(0, 4))  # anywhere between two of Consul's checks
                began_s = time.perf_counter()
                workers[address].kill()
                return await answers.until(_without(address)) - began_s

            return await asyncio.gather(*(kill(address) for address in workers))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--changes", type=int, default=200)
    parser.add_argument("--kills", type=int, default=10)
    options = parser.parse_args()
    if not 0 < options.kills <= OTHERS:
        parser.error(f"--kills: from 1 to {OTHERS}, so that most workers stay")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        consul = stack.enter_context(real_consul(folder)).url
        asyncio.run(register(consul, SERVICE, [("10.0.0.1", 9000 + number) for number in range(OTHERS)]))
        lookup = stack.enter_context(lookup_service(consul, "--service", SERVICE, knows={SERVICE: OTHERS}))
        url = f"{lookup.url}/next?count=1000"
        changes = asyncio.run(time_changes(consul, url, count=options.changes))
        print(f"load average {os.getloadavg()[0]:.1f}", file=sys.stderr)
        kills = asyncio.run(time_kills(consul, url, count=options.kills))
    together = [ms for kind in changes.values() for ms in kind]
    print(spread_table({**changes, "all changes": together}, unit="ms"))
    print()
    print(spread_table({"kill -9": kills}, unit="s", digits=2))
    if percentile(together, 0.99) >= CHANGES_P99_MS or max(kills) >= KILLS_WORST_S:
        sys.exit(f"Too slow: changes under {CHANGES_P99_MS:g} ms (p99) and kills under {KILLS_WORST_S:g} s are wanted.")


if __name__ == "__main__":
    main()
