"""Keeps the list of all services in the discovery backend up to date: which names exist, with which tags."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping

from registry.backend.source import Source
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

Tags = Mapping[str, frozenset[str]]
"""Tags by service name."""


class ServiceList:
    """The services that the backend lists: `tags` holds them by name; `changed()` is awaited after each answer."""

    def __init__(self, source: Source, changed: Callable[[], Awaitable[None]]) -> None:
        self.tags: Tags = {}
        self.first_answer = asyncio.Event()
        self._source = source
        self._changed = changed
        self._complete_once = False
        self._wake = asyncio.Event()

    @property
    def known(self) -> bool:
        """Whether the backend has answered."""
        return self.first_answer.is_set()

    @property
    def complete(self) -> bool:
        """Whether the last list was the whole list, as far as anybody can tell."""
        return self._is_complete(self.tags)

    def __contains__(self, name: str) -> bool:
        return name in self.tags

    async def hides(self, name: str) -> bool:
        """Whether the backend hides a service's instances from us, rather than having none. Asks the backend.

        Where the list was never complete, our credentials were never meant to show all of it.
        """
        _, tags = await self._source.services()
        return name in tags or (self._complete_once and not self._is_complete(tags))

    def leader_found(self) -> None:
        """The backend has a leader again: end the pause after an error."""
        self._wake.set()

    async def run(self) -> None:
        """Follow the list until cancelled."""
        index, failures, chance = 0, 0, random.Random()
        bucket = TokenBucket(rate_hz=LISTS_A_SECOND, burst=CHANGES_AT_ONCE, now_s=time.monotonic())
        while True:
            self._wake.clear()
            try:
                answered, tags = await self._source.services(index=index)
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
        if not self._is_complete(tags) and (self.complete or not self.known):
            logger.warning("Consul does not list itself: is the token in CONSUL_HTTP_TOKEN allowed service:read?")
        self.tags = tags
        self._complete_once = self._complete_once or self.complete
        await self._changed()
        self.first_answer.set()

    def _is_complete(self, tags: Tags) -> bool:
        return self._source.own_services <= tags.keys()

    async def _pause(self, pause_s: float) -> None:
        await event_within(self._wake, pause_s)
