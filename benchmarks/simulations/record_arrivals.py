"""Records when the images of simulated people with photo galleries arrive at a real worker.

    python -m benchmarks.simulations.record_arrivals [--people 60] [--seconds 60]

Each person opens a page of 1 to 24 photos, over six connections as browsers do, looks at it for a while, and opens
the next page. The photos are posted over loopback to a worker with the engine that predicts nothing. A request arrives
when its headers have been sent. The gaps between the requests are written to a file, which
`benchmarks.simulations.batching` reads. Requests come in bursts, since pages do.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import time
from pathlib import Path

import aiohttp

from benchmarks.harness.p2p import agent, worker
from benchmarks.simulations.batching import ARRIVALS_FILE
from tests.support.photos import chelsea_jpeg

CONNECTIONS = 6
PHOTOS_MOST = 24
LOOKING_S = 4.0


def recording(times_s: list[float]) -> aiohttp.TraceConfig:
    """Adds to `times_s` the time at which the headers of each request have been sent."""
    trace = aiohttp.TraceConfig()

    async def note(*_: object) -> None:
        times_s.append(time.monotonic())

    trace.on_request_headers_sent.append(note)
    return trace


async def person(url: str, photo: bytes, chance: random.Random, trace: aiohttp.TraceConfig, *, until_s: float) -> None:
    """Open one page after the other."""
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)

    async def fetch(http: aiohttp.ClientSession) -> None:
        async with http.post(url, data=photo, raise_for_status=True) as answer:
            await answer.read()

    async with aiohttp.ClientSession(connector=connector, trace_configs=[trace]) as http:
        await asyncio.sleep(chance.uniform(0, LOOKING_S))
        while time.monotonic() < until_s:
            await asyncio.gather(*(fetch(http) for _ in range(chance.randint(1, PHOTOS_MOST))))
            await asyncio.sleep(chance.expovariate(1 / LOOKING_S))


async def record(people: int, seconds: float) -> list[float]:
    """Times of arrival (time.monotonic), sorted."""
    times_s: list[float] = []
    trace, photo = recording(times_s), chelsea_jpeg()
    with agent(core=None) as consul, worker(consul.url, core=None) as serving:
        url = f"{serving.url}/"
        until_s = time.monotonic() + seconds
        chances = [random.Random(number) for number in range(people)]
        await asyncio.gather(*(person(url, photo, chance, trace, until_s=until_s) for chance in chances))
    return sorted(times_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--people", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--out", type=Path, default=ARRIVALS_FILE)
    options = parser.parse_args()
    times_s = asyncio.run(record(options.people, options.seconds))
    gaps_ms = [round((later - earlier) * 1000, 1) for earlier, later in itertools.pairwise(times_s)]
    how = f"{options.people} people with galleries, {options.seconds:g} s, {len(gaps_ms)} gaps"
    options.out.write_text(json.dumps({"how": how, "gaps_ms": gaps_ms}) + "\n")
    print(how)


if __name__ == "__main__":
    main()
