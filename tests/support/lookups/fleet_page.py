"""The lookup service's application, page included, over workers that a test makes up and changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType

from aiohttp import web

from registry.discovery.directory import Directory
from registry.events.event_log import EventLog
from registry.instances.instance import Health, Instance
from registry.lookup.fast_path import FastPath
from registry.lookup.routes import build_app
from registry.security.access_control import AccessControl
from registry.worker_figures.collector import FiguresCollector
from tests.support.fakes import FakeCatalog
from tests.support.waiting import until

MARKUP = '<img src=x onerror="document.title=1"><script>document.title=2</script>'
"""What a worker may say that would do harm if it were taken for markup."""


@dataclass
class FleetPage:
    """A lookup service at `url`, and what it knows."""

    url: str
    catalog: FakeCatalog
    events: EventLog
    directory: Directory

    async def put(self, service: str, instances: Iterable[Instance]) -> None:
        """Make these the instances of a service, and wait until the lookup service knows them."""
        instances = tuple(instances)
        self.catalog.put(service, *instances)
        found = await until(lambda: self.directory.find(service))
        await until(lambda: {i.id: i.health for i in found.snapshot.instances} == {i.id: i.health for i in instances})


def workers(count: int, *, service: str = "classify", health: Health = Health.PASSING) -> list[Instance]:
    """Workers of one service, of two versions."""
    return [
        Instance(
            service,
            f"{service}-{number}",
            f"198.18.{number // 250}.{number % 250 + 1}",
            20000 + number,
            version=str(3 + number % 4 // 3),
            boot=f"b{number}",
            node=f"host-{number:03}",
            health=health,
            meta=MappingProxyType({"protocol": "article"}),
        )
        for number in range(count)
    ]


def strange_worker(service: str) -> Instance:
    """A worker all of whose texts are long, run from right to left, or look like markup."""
    return Instance(
        service,
        "strange",
        "2001:db8::1",
        9000,
        version="شبكة-عصبية-٣",
        boot="b",
        node="a-very-long-name-of-a-node-" * 4,
        health=Health.CRITICAL,
        output=MARKUP,
        meta=MappingProxyType({"loading": "5"}),
    )


@asynccontextmanager
async def fleet_page(
    *, port: int = 0, access: AccessControl | None = None, ui: bool = True, figures: FiguresCollector | None = None
) -> AsyncIterator[FleetPage]:
    """The application while the context is open, without workers."""
    catalog, events = FakeCatalog(classify=()), EventLog()
    async with Directory(catalog, default="classify", observe=events.observe) as directory:  # type: ignore[arg-type]
        fast = FastPath(directory, access=access)
        app = build_app(directory, fast, access=access, events=events, figures=figures, ui=ui)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        try:
            yield FleetPage(f"http://127.0.0.1:{runner.addresses[0][1]}", catalog, events, directory)
        finally:
            await runner.cleanup()
            await asyncio.sleep(0)
