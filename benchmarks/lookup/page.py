"""What the web page costs, and how soon it shows what happens.

    python -m benchmarks.lookup.page [--workers 500] [--seconds 20] [--changes 40] [--loads 10]

A real Consul holds workers whose metrics one process of this benchmark answers with; Debian's chromium has the page
open. Measured are the bytes of the page and the time to its first paint, the lookup process's processor time without a
page, with an open page, and with an open page and five changes per second, and the time from sending a change to
Consul until the open page shows it, in three parts: until Consul has answered, until the lookup service has the event,
until the page shows it. Exits with 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
from aiohttp import web

from benchmarks.harness.consul import real_consul, register
from benchmarks.harness.p2p import Running, lookup_service
from benchmarks.harness.processes import cpu_s, free_port, rss_mb
from benchmarks.harness.summary import markdown_table
from worker.telemetry.metrics import WorkerMetrics
from worker.telemetry.request_labels import RequestLabels

SERVICE = "page"
CHANGES_PER_S = 5.0
WARM_S = 25.0
"""Until every worker has been asked for its metrics twice."""

PAINT_MS, PAGE_BYTES, CORE_PERCENT, SHOWN_MS = 300.0, 150_000, 10.0, 200.0

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

_SIZES = """() => performance.getEntriesByType("resource").concat(performance.getEntriesByType("navigation"))
    .reduce((sum, entry) => sum + entry.decodedBodySize, 0)"""
_PAINT = """() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime"""
_WATCH = """() => {
    window.shown = [];
    new MutationObserver(() => {
        const first = document.querySelector(".events li time");
        window.shown.push([performance.timeOrigin + performance.now(), first?.getAttribute("datetime")]);
    }).observe(document.querySelector(".events"), { childList: true });
}"""


@dataclass(frozen=True)
class Bar:
    """One measured value beside its bar."""

    name: str
    value: float
    bar: float
    unit: str

    @property
    def row(self) -> tuple[str, ...]:
        return self.name, f"{self.value:.3g} {self.unit}", f"{self.bar:g} {self.unit}", str(self.value < self.bar)


@asynccontextmanager
async def metrics_of_workers(port: int) -> AsyncIterator[None]:
    """Answers /metrics at all loopback addresses as a worker does that gets 100 requests per second."""
    metrics, began_s = WorkerMetrics(), time.monotonic()
    counted = 0

    async def answer(_: web.Request) -> web.Response:
        nonlocal counted
        while counted < (time.monotonic() - began_s) * 100:
            counted += 1
            metrics.answered(RequestLabels(SERVICE, "article"), status=200, took_s=0.002 * (counted % 40 + 1))
        return web.Response(body=metrics.text(), content_type="text/plain")

    app = web.Application()
    app.router.add_get("/metrics", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        with metrics.model(SERVICE).serving(version="1", engine="echo", depth=lambda: 0, held_bytes=lambda: 0):
            await web.TCPSite(runner, "0.0.0.0", port).start()
            yield
    finally:
        await runner.cleanup()


def addresses(count: int, port: int) -> Sequence[tuple[str, int]]:
    """As many loopback addresses, from 127.1.0.1 on."""
    return [(f"127.1.{number // 250}.{number % 250 + 1}", port) for number in range(count)]


async def drain_and_undrain(http: aiohttp.ClientSession, worker: str, *, drained: bool) -> None:
    """Set or end the maintenance of a worker at Consul's agent."""
    query = {"enable": str(drained).lower(), "reason": "a change of the benchmark"}
    async with http.put(f"/v1/agent/service/maintenance/{worker}", params=query) as answer:
        answer.raise_for_status()


async def changing(consul: str, workers: Sequence[str]) -> None:
    """Change CHANGES_PER_S workers per second until cancelled."""
    async with aiohttp.ClientSession(consul) as http:
        number = 0
        while True:
            worker, drained = workers[number // 2 % len(workers)], number % 2 == 0
            number += 1
            await drain_and_undrain(http, worker, drained=drained)
            await asyncio.sleep(1 / CHANGES_PER_S)


async def used(lookup: Running, seconds: float) -> float:
    """The lookup process's processor time, in per cent of a core."""
    before_s, began_s = cpu_s(lookup.pid), time.monotonic()
    await asyncio.sleep(seconds)
    return 100 * (cpu_s(lookup.pid) - before_s) / (time.monotonic() - began_s)


async def first_paints(browser: Any, url: str, loads: int) -> tuple[list[float], int]:
    """The times to the first contentful paint of new browser contexts, in ms, and the page's bytes."""
    paints, size = [], 0
    for _ in range(loads):
        context = await browser.new_context(viewport={"width": 1280, "height": 900})
        page = await context.new_page()
        await page.goto(f"{url}/ui/")
        await page.get_by_text("live", exact=True).wait_for()
        painted = await page.wait_for_function(_PAINT)
        paints.append(float(await painted.json_value()))
        size = int(await page.evaluate(_SIZES))
        await context.close()
    return paints, size


async def shown_after(
    page: Any, consul: str, lookup_url: str, workers: Sequence[str], changes: int
) -> list[list[float]]:
    """For each change the ms until Consul answered, until the lookup service had the event, until it was shown."""
    found = []
    async with aiohttp.ClientSession(consul) as http, aiohttp.ClientSession() as lookup:
        for number in range(changes):
            before = await page.evaluate("window.shown.length")
            sent_s = time.time()
            await drain_and_undrain(http, workers[number // 2], drained=number % 2 == 0)
            answered_s = time.time()
            await page.wait_for_function("count => window.shown.length > count", arg=before)
            shown_s = (await page.evaluate("count => window.shown[count][0]", before)) / 1000
            async with lookup.get(f"{lookup_url}/events") as answer:
                event_s = (await answer.json())["events"][-1]["at"]
            found.append([1000 * (moment - sent_s) for moment in (answered_s, event_s, shown_s)])
            await asyncio.sleep(0.4)
    return found


async def measure(consul: str, lookup: Running, options: argparse.Namespace, workers: Sequence[str]) -> list[Bar]:
    """All measurements with one browser."""
    from playwright.async_api import async_playwright

    await asyncio.sleep(WARM_S)
    alone = await used(lookup, options.seconds)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        paints, size = await first_paints(browser, lookup.url, options.loads)
        page = await browser.new_page(viewport={"width": 1280, "height": 900})
        await page.goto(f"{lookup.url}/ui/#events")
        await page.get_by_text("live", exact=True).wait_for()
        still = await used(lookup, options.seconds)
        changes = asyncio.create_task(changing(consul, workers))
        changed = await used(lookup, options.seconds)
        changes.cancel()
        await asyncio.gather(changes, return_exceptions=True)
        await asyncio.sleep(2)
        await page.evaluate(_WATCH)
        before_s = cpu_s(lookup.pid)
        times = await shown_after(page, consul, lookup.url, workers[-options.changes :], options.changes)
        each_ms = 1000 * (cpu_s(lookup.pid) - before_s) / options.changes
        await browser.close()
    print(f"Of the lookup process, {rss_mb(lookup.pid):.0f} MB: {alone:.1f}% of a core without a page, ", end="")
    print(f"{still:.1f}% with one, {changed:.1f}% with one and {CHANGES_PER_S:g} changes per second.")
    parts = zip(*times, strict=True)
    names = ("Consul has answered", "the lookup service has the event", "the page shows it")
    rows = [
        (name, f"{median(part):.1f}", f"{max(part):.1f}") for name, part in zip(names, map(sorted, parts), strict=True)
    ]
    print(markdown_table(("ms after sending a change, until", "median", "worst"), rows))
    print(f"Processor time of the lookup process per change, with its figures meanwhile: {each_ms:.1f} ms.")
    shown = [time[-1] for time in times]
    return [
        Bar("page", size / 1000, PAGE_BYTES / 1000, "kB"),
        Bar("first paint, median", median(paints), PAINT_MS, "ms"),
        Bar("first paint, worst", max(paints), PAINT_MS, "ms"),
        Bar(f"{CHANGES_PER_S:g} changes per second, of a core", changed, CORE_PERCENT, "%"),
        Bar("shown, median", median(shown), SHOWN_MS, "ms"),
        Bar("shown, worst", max(shown), SHOWN_MS, "ms"),
    ]


async def run(options: argparse.Namespace) -> list[Bar]:
    """Start everything, and measure."""
    port = free_port()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        consul = stack.enter_context(real_consul(folder, core=None))
        workers = addresses(options.workers, port)
        await register(consul.url, SERVICE, workers, meta={"protocol": "article", "version": "1"})
        async with metrics_of_workers(port):
            lookup = await asyncio.to_thread(
                stack.enter_context,
                lookup_service(
                    consul.url, "--service", SERVICE, *options.flag, knows={SERVICE: options.workers}, core=None
                ),
            )
            return await measure(consul.url, lookup, options, [f"{SERVICE}-{host}-{port}" for host, port in workers])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--workers", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--changes", type=int, default=40)
    parser.add_argument("--loads", type=int, default=10)
    parser.add_argument("--flag", action="append", default=[], help="A further flag of p2p registry: --no-figures.")
    options = parser.parse_args()
    if CHROMIUM is None:
        sys.exit("No chromium on the PATH: apt-get install chromium")
    print(f"{options.workers} workers; load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.")
    bars = asyncio.run(run(options))
    print(markdown_table(("bar", "measured", "below", "met"), [bar.row for bar in bars]))
    sys.exit(any(bar.value >= bar.bar for bar in bars))


if __name__ == "__main__":
    main()
