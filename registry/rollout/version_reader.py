"""Asks the workers of one service for their metrics, and adds up what each version has counted between two readings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

from registry.consul.catalog import Catalog
from registry.consul.settings import ConsulSettings
from registry.instances.instance import Instance
from registry.runtime.tls.trust import TrustFiles
from registry.worker_figures.metrics_reader import MetricsReader, metrics_session
from registry.worker_figures.reading import Reading
from registry.worker_figures.request_counts import RequestCounts, added, since

Readings = tuple[Reading, ...]


class VersionReader:
    """Reads the instances of `service` from Consul, and the metrics from each."""

    def __init__(self, catalog: Catalog, metrics: MetricsReader, service: str) -> None:
        self._catalog = catalog
        self._metrics = metrics
        self._service = service

    async def instances(self) -> tuple[Instance, ...]:
        """All instances of the service. Raises ConsulUnavailable, ConsulRefused."""
        return (await self._catalog.health(self._service)).instances

    async def read(self) -> Readings:
        """What the instances that take requests have counted since each started. Raises as `instances` does."""
        serving = [instance for instance in await self.instances() if instance.health.serving]
        return tuple(await asyncio.gather(*map(self._metrics.read, serving)))


def counted_between(before: Readings, now: Readings) -> Mapping[str, RequestCounts]:
    """What each version has counted between two readings; a worker that has started since counts from its start.

    A worker that serves another version now than before is left out: its counts are those of two versions.
    """
    earlier = {(each.instance.id, each.instance.boot): each for each in before}
    by_version: dict[str, list[RequestCounts]] = {}
    for each in now:
        old = earlier.get((each.instance.id, each.instance.boot))
        if each.counts is None or (old is not None and old.instance.version != each.instance.version):
            continue
        counts = since(old.counts, each.counts) if old is not None and old.counts is not None else each.counts
        if old is None or old.counts is not None:
            by_version.setdefault(each.instance.version, []).append(counts)
    return {version: added(stats) for version, stats in by_version.items()}


def by_version(now: Readings) -> Mapping[str, RequestCounts]:
    """What each version's workers have counted since they started."""
    return counted_between((), now)


def all_but(stats: Mapping[str, RequestCounts], version: str) -> RequestCounts:
    """What all versions but one have counted together."""
    return added(each for name, each in stats.items() if name != version)


def faults(readings: Iterable[Reading]) -> list[str]:
    """Why instances did not say what they have counted, one sentence each."""
    return [f"{each.instance.address} does not tell its metrics: {each.fault}." for each in readings if each.fault]


@asynccontextmanager
async def reading_versions(
    consul: ConsulSettings, service: str, *, trust: TrustFiles, token: str | None
) -> AsyncIterator[VersionReader]:
    """A reader that works while the context is open. Raises SettingsError where a file of `trust` cannot be used."""
    catalog = Catalog(consul)
    try:
        verification = trust.verification()
        async with metrics_session() as http:
            yield VersionReader(catalog, MetricsReader(http, token=token, verification=lambda: verification), service)
    finally:
        await catalog.close()
