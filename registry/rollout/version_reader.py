"""Asks the workers of one service for their metrics, and adds up what each version has counted between two readings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from registry.consul.catalog import Catalog
from registry.consul.settings import ConsulSettings
from registry.instances.instance import Instance
from registry.rollout.version_stats import VersionStats, added, read_stats, since
from registry.runtime.tls.trust import TrustFiles

TIMEOUT_S = 3.0
AT_A_TIME = 32
PAGE_AT_MOST_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Reading:
    """What one instance's metrics said; `stats` None: they did not, for the reason in `fault`."""

    instance: Instance
    stats: VersionStats | None
    fault: str = ""


Readings = tuple[Reading, ...]


class VersionReader:
    """Reads the instances of `service` from Consul, and the metrics from each; `token` goes to those that want one."""

    def __init__(self, catalog: Catalog, http: aiohttp.ClientSession, service: str, *, token: str | None) -> None:
        self._catalog = catalog
        self._http = http
        self._service = service
        self._token = token
        self._free = asyncio.Semaphore(AT_A_TIME)

    async def instances(self) -> tuple[Instance, ...]:
        """All instances of the service. Raises ConsulUnavailable, ConsulRefused."""
        return (await self._catalog.health(self._service)).instances

    async def read(self) -> Readings:
        """What the instances that take requests have counted since each started. Raises as `instances` does."""
        serving = [instance for instance in await self.instances() if instance.health.serving]
        return tuple(await asyncio.gather(*map(self._read, serving)))

    async def _read(self, instance: Instance) -> Reading:
        wants_token = self._token is not None and instance.auth != "none"  # a stranger's registration gets none
        headers = {"Authorization": f"Bearer {self._token}"} if wants_token else {}
        url = f"{instance.origin}/metrics"
        try:
            async with self._free, self._http.get(url, headers=headers, allow_redirects=False) as answer:
                body = await answer.content.read(PAGE_AT_MOST_BYTES)
                while len(body) < PAGE_AT_MOST_BYTES and (piece := await answer.content.read(PAGE_AT_MOST_BYTES)):
                    body += piece
                if answer.status != 200:
                    return Reading(instance, None, f"it answered {answer.status}")
            text = body.decode(errors="replace")
            return Reading(instance, await asyncio.to_thread(read_stats, text, model=self._service))
        except (aiohttp.ClientError, TimeoutError) as error:
            return Reading(instance, None, str(error) or "no answer")
        except (ValueError, LookupError) as error:
            return Reading(instance, None, f"its metrics cannot be read: {error}")


def counted_between(before: Readings, now: Readings) -> Mapping[str, VersionStats]:
    """What each version has counted between two readings; a worker that has started since counts from its start.

    A worker that serves another version now than before is left out: its counts are those of two versions.
    """
    earlier = {(each.instance.id, each.instance.boot): each for each in before}
    by_version: dict[str, list[VersionStats]] = {}
    for each in now:
        old = earlier.get((each.instance.id, each.instance.boot))
        if each.stats is None or (old is not None and old.instance.version != each.instance.version):
            continue
        counts = since(old.stats, each.stats) if old is not None and old.stats is not None else each.stats
        if old is None or old.stats is not None:
            by_version.setdefault(each.instance.version, []).append(counts)
    return {version: added(stats) for version, stats in by_version.items()}


def by_version(now: Readings) -> Mapping[str, VersionStats]:
    """What each version's workers have counted since they started."""
    return counted_between((), now)


def all_but(stats: Mapping[str, VersionStats], version: str) -> VersionStats:
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
        connector = aiohttp.TCPConnector(ssl=trust.verification(), limit=AT_A_TIME)
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http:
            yield VersionReader(catalog, http, service, token=token)
    finally:
        await catalog.close()
