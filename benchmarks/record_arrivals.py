"""When images arrive at a real worker whose clients are people with galleries: a trace for `benchmarks.batching_sim`.

    python -m benchmarks.record_arrivals [--people 60] [--seconds 60]

Each person opens a page of 1 to 24 photos, over six connections as browsers do, looks at it for a while, and opens
the next. They come over HTTP on loopback to the worker's own application, with the engine that predicts nothing and a
recorder in front. What is kept are the gaps between arrivals: bursts, because pages are.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import aiohttp
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from benchmarks.batching_sim import ARRIVALS_FILE
from registry.settings import ConsulSettings
from tests.images import chelsea_jpeg
from worker.app import Presence, build_app
from worker.metrics import Numbers
from worker.models import Models
from worker.settings import WorkerSettings
from worker.source import ModelSource
from worker.store import Store

CONNECTIONS = 6
PHOTOS_MOST = 24
LOOKING_S = 4.0


def recording(times_s: list[float]) -> Middleware:
    """Notes when each request's headers have come, and lets no failure pass for a record."""

    @web.middleware
    async def note(request: web.Request, handler: Handler) -> web.StreamResponse:
        times_s.append(time.monotonic())
        response = await handler(request)
        assert response.status == 200
        return response

    return note


async def person(url: str, photo: bytes, chance: random.Random, *, until_s: float) -> None:
    """Opens page after page."""
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)

    async def fetch(http: aiohttp.ClientSession) -> None:
        async with http.post(url, data=photo, raise_for_status=True) as answer:
            await answer.read()

    async with aiohttp.ClientSession(connector=connector) as http:
        await asyncio.sleep(chance.uniform(0, LOOKING_S))
        while time.monotonic() < until_s:
            await asyncio.gather(*(fetch(http) for _ in range(chance.randint(1, PHOTOS_MOST))))
            await asyncio.sleep(chance.expovariate(1 / LOOKING_S))


async def record(people: int, seconds: float) -> list[float]:
    """Times of arrival, monotonic."""
    settings = WorkerSettings(consul=ConsulSettings(), source=ModelSource(engine="echo"))
    numbers, photo = Numbers(), chelsea_jpeg()
    times_s: list[float] = []
    with ThreadPoolExecutor(settings.decode_threads) as decoding:
        async with Store(settings, decoding=decoding, numbers=numbers) as store:
            app = build_app(settings, Models([store]), Presence(boot="recorded", ready=True), numbers)
            app.middlewares.insert(0, recording(times_s))
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            chances = [random.Random(number) for number in range(people)]
            until_s = time.monotonic() + seconds
            url = f"http://{host}:{port}/"
            await asyncio.gather(*(person(url, photo, chance, until_s=until_s) for chance in chances))
            await runner.cleanup()
    return times_s


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
