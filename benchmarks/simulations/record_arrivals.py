"""When images arrive at a real worker whose clients are people with galleries: a trace for `simulations.batching`.

    python -m benchmarks.simulations.record_arrivals [--people 60] [--seconds 60]

Each person opens a page of 1 to 24 photos, over six connections as browsers do, looks at it for a while, and opens
the next. They come over HTTP on loopback to a worker with the engine that predicts nothing, and the time is noted when
a request's headers are on their way. What is kept are the gaps between requests: bursts, because pages are.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from benchmarks.simulations.batching import ARRIVALS_FILE
from tests.support.command_process import command, free_port
from tests.support.photos import chelsea_jpeg
from tests.support.waiting import until

CONNECTIONS = 6
PHOTOS_MOST = 24
LOOKING_S = 4.0


def noting(times_s: list[float]) -> aiohttp.TraceConfig:
    """Notes when each request's headers are on their way."""
    trace = aiohttp.TraceConfig()

    async def note(*_: object) -> None:
        times_s.append(time.monotonic())

    trace.on_request_headers_sent.append(note)
    return trace


async def person(url: str, photo: bytes, chance: random.Random, trace: aiohttp.TraceConfig, *, until_s: float) -> None:
    """Opens page after page."""
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)

    async def fetch(http: aiohttp.ClientSession) -> None:
        async with http.post(url, data=photo, raise_for_status=True) as answer:
            await answer.read()

    async with aiohttp.ClientSession(connector=connector, trace_configs=[trace]) as http:
        await asyncio.sleep(chance.uniform(0, LOOKING_S))
        while time.monotonic() < until_s:
            await asyncio.gather(*(fetch(http) for _ in range(chance.randint(1, PHOTOS_MOST))))
            await asyncio.sleep(chance.expovariate(1 / LOOKING_S))


@asynccontextmanager
async def serving() -> AsyncIterator[str]:
    """The address of a worker, registered with an agent of its own."""
    port = free_port()
    async with (
        command("agent", "--port", str(port)),
        command("worker", "--engine", "echo", "--consul", f"http://127.0.0.1:{port}") as worker,
    ):
        found = await until(lambda: re.search(r"Serving .*(http://[\d.:]+)\.", worker.output), within_s=60)
        yield found[1]


async def record(people: int, seconds: float) -> list[float]:
    """Times of arrival, monotonic."""
    times_s: list[float] = []
    trace, photo = noting(times_s), chelsea_jpeg()
    async with serving() as url:
        until_s = time.monotonic() + seconds
        chances = [random.Random(number) for number in range(people)]
        await asyncio.gather(*(person(url, photo, chance, trace, until_s=until_s) for chance in chances))
    return sorted(times_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--out", type=Path, default=ARRIVALS_FILE)
    asked = parser.parse_args()
    times_s = asyncio.run(record(asked.people, asked.seconds))
    gaps_ms = [round((later - earlier) * 1000, 1) for earlier, later in itertools.pairwise(times_s)]
    how = f"{asked.people} people with galleries, {asked.seconds:g} s, {len(gaps_ms)} gaps"
    asked.out.write_text(json.dumps({"how": how, "gaps_ms": gaps_ms}) + "\n")
    print(how)


if __name__ == "__main__":
    main()
