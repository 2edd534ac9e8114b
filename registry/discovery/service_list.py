"""Keeps the list of all services in Consul up to date: which names exist, with which tags."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping

from registry.consul.catalog import Catalog
from registry.discovery.pacing import TokenBucket
from registry.discovery.reconcile import next_index
from registry.discovery.watch import CHANGES_AT_ONCE
from registry.runtime.errors import RegistryError
from registry.runtime.tasks.backoff import backoff_s
from registry.runtime.tasks.race import event_within

logger = logging.getLogger(__name__)

LISTS_A_SECOND = 1.0
"""Consul goes through all workers to list the services, and does so at every registration: under churn it is asked
for the list no more often. A new service is known within a second; services that are followed do not depend on it."""

CONSUL_SERVICE = "consul"
"""The service that Consul's servers are. Every catalog holds it: a list without it is not the whole list."""

Tags = Mapping[str, frozenset[str]]
"""Tags by service name."""


class ServiceList:
    """The services that Consul lists: `tags` holds them by name; `changed()` is awaited after each answer."""

    def __init__(self, catalog: Catalog, changed: Callable[[], Awaitable[None]]) -> None:
        self.tags: Tags = {}
        self.first_answer = asyncio.Event()
        self._catalog = catalog
        self._changed = changed
        self._complete_once = False
        self._wake = asyncio.Event()

    @property
    def known(self) -> bool:
        """Whether Consul has answered."""
        return self.first_answer.is_set()

    @property
    def complete(self) -> bool:
        """Whether the last list was the whole list, as far as anybody can tell."""
        return CONSUL_SERVICE in self.tags

    def __contains__(self, name: str) -> bool:
        return name in self.tags

    async def hides(self, name: str) -> bool:
        """Whether Consul hides a service's instances from our token, rather than having none. Asks Consul.

        Where the list was never complete, the token was never meant to see all of it.
        """
        _, tags = await self._catalog.services()
        return name in tags or (self._complete_once and CONSUL_SERVICE not in tags)

    def leader_found(self) -> None:
        """Consul has a leader again: end the pause after an error."""
        self._wake.set()

    async def run(self) -> None:
        """Follow the list until cancelled."""
        index, failures, chance = 0, 0, random.Random()
        bucket = TokenBucket(rate_hz=LISTS_A_SECOND, burst=CHANGES_AT_ONCE, now_s=time.monotonic())
        while True:
            self._wake.clear()
            try:
                answered, tags = await self._catalog.services(index=index)
            except RegistryError as error:
                logger.debug("The list of services: %s", error)
                index = 0
                await self._pause(backoff_s(failures, chance))
                failures += 1
                continue
            failures, index = 0, next_index(index, answered)
            await self._apply(tags)
            await asyncio.sleep(bucket.delay_s(time.monotonic()))

    async def _apply(self, tags: Tags) -> None:
        if CONSUL_SERVICE not in tags and (self.complete or not self.known):
            logger.warning("Consul does not list itself: is the token in CONSUL_HTTP_TOKEN allowed service:read?")
        self.tags = tags
        self._complete_once = self._complete_once or self.complete
        await self._changed()
        self.first_answer.set()

    async def _pause(self, pause_s: float) -> None:
        await event_within(self._wake, pause_s)
