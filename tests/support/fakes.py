"""Hand-written stand-ins for what a test does not mean to test."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from registry.backend.health_answer import HealthAnswer
from registry.consul.catalog import Catalog
from registry.instances.instance import Instance


class LikeConsul:
    """What a fake source says of its make, as Consul's does."""

    product = Catalog.product
    own_services = Catalog.own_services
    hint = Catalog.hint


class FakeCatalog(LikeConsul):
    """The two questions that a Directory asks of Consul's catalog, answered from what the test has put here.

    `put` replaces a service's instances; waiting questions are answered then. Services are ours unless `untagged`.
    """

    def __init__(self, **services: tuple[Instance, ...]) -> None:
        self.untagged: set[str] = set()
        self._services = dict(services)
        self._index = 1
        self._change = asyncio.Event()

    def put(self, service: str, *instances: Instance) -> None:
        self._services[service] = instances
        self._index += 1
        changed, self._change = self._change, asyncio.Event()
        changed.set()

    async def services(self, *, index: int = 0) -> tuple[int, Mapping[str, frozenset[str]]]:
        await self._wait(index, None)
        return self._index, {
            name: frozenset() if name in self.untagged else frozenset({"p2p"}) for name in self._services
        }

    async def health(self, service: str, *, index: int = 0, wait_s: float = 0.0) -> HealthAnswer:
        await self._wait(index, wait_s)
        return HealthAnswer(self._index, self._services.get(service, ()))

    async def _wait(self, index: int, wait_s: float | None) -> None:
        if index < self._index:
            return
        try:
            async with asyncio.timeout(wait_s):  # wait_for of Python 3.11 can lose a cancellation
                await self._change.wait()
        except TimeoutError:
            return
