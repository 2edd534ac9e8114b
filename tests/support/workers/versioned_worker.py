"""A small HTTP server that is registered as a worker of one version, and counts as a worker does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from registry.consul.catalog import Catalog, Checks
from registry.consul.settings import ConsulSettings
from registry.instances.instance import Instance
from worker.telemetry.metrics import WorkerMetrics
from worker.telemetry.request_labels import RequestLabels
from worker.telemetry.shadow import HEADER


@dataclass
class VersionedWorker:
    """One worker. `fails`: whether the request of this number is answered 500; `hold`, cleared, lets copies wait."""

    best: str = "tabby"
    instance: Instance = field(init=False)
    fails: Callable[[int], bool] = lambda _: False
    answered: int = 0
    copies: list[str] = field(default_factory=list)
    hold: asyncio.Event = field(default_factory=asyncio.Event)
    metrics: WorkerMetrics = field(default_factory=WorkerMetrics)
    denies_metrics: bool = False

    async def classify(self, request: web.Request) -> web.Response:
        since_s = time.monotonic()
        await request.read()
        shadow = request.headers.get(HEADER)
        if shadow is not None:
            self.copies.append(shadow)
            await self.hold.wait()
            self.metrics.model(self.instance.service).compare_shadow(shadow, self.best, 0.5)
        else:
            self.answered += 1
        status = 500 if self.fails(self.answered) else 200
        took_s = time.monotonic() - since_s
        if shadow is None:
            labels = RequestLabels(self.instance.service, "article")
            self.metrics.answered(labels, status=status, took_s=took_s)
        else:
            self.metrics.shadow.answered(self.instance.service, shadow, status=status, took_s=took_s)
        if status == 500:
            return web.json_response({"error": "the model is broken"}, status=500)
        return web.json_response([[self.best, 0.6], ["lynx", 0.4]])

    async def show_metrics(self, _: web.Request) -> web.Response:
        if self.denies_metrics:
            return web.json_response({"error": "give a token"}, status=401)
        return web.Response(body=self.metrics.text())


@asynccontextmanager
async def versioned_worker(
    consul_url: str, service: str, version: str, *, name: str = "", best: str = "tabby", token: str | None = None
) -> AsyncIterator[VersionedWorker]:
    """A worker of this version that answers and is registered, with Consul's `token`, while the context is open."""
    worker = VersionedWorker(best)
    app = web.Application()
    app.router.add_post("/", worker.classify)
    app.router.add_get("/metrics", worker.show_metrics)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    instance = Instance(service, f"{service}-{version}{name}", "127.0.0.1", port, version=version, boot=f"b{port}")
    worker.instance = instance
    worker.hold.set()
    catalog = Catalog(ConsulSettings(url=consul_url, token=token))
    try:
        await catalog.register(instance, Checks(health_url=None, ttl_s=600.0))
        yield worker
        await catalog.deregister(instance.id)
    finally:
        await catalog.close()
        await runner.cleanup()
