"""The records of all services, followed in Consul's key/value store: the last that was read holds until a new one.

Neither an error nor a missing entry ends a split: commands never remove an entry (`record`), so that one that is
missing is one that Consul has lost. A record that cannot be read changes nothing either.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from registry.consul.errors import ConsulRefused, ConsulUnavailable
from registry.consul.key_value import Entries, KeyValue
from registry.consul.settings import ConsulSettings
from registry.rollout.record import PREFIX, Rollout, read
from registry.runtime.tasks.backoff import backoff_s
from registry.runtime.tasks.race import event_within
from registry.runtime.tasks.supervise import supervised

logger = logging.getLogger(__name__)

FIRST_ANSWER_WAIT_S = 1.0
"""How long a server that starts waits for the records, so that it splits its first lookups, too."""

PAUSE_S = 0.01
"""Between two questions, so that a burst of changes costs 100 of them a second at most."""


class RecordWatch:
    """The records by service; `changed` gets all of them when Consul has said something else than before.

    `run` follows them and ends only when it is cancelled. `asked` is set once Consul has answered, or has not.
    """

    def __init__(self, store: KeyValue, changed: Callable[[Mapping[str, Rollout]], None]) -> None:
        self._store = store
        self._changed = changed
        self._values: dict[str, bytes] = {}
        self._rollouts: dict[str, Rollout] = {}
        self._trouble = ""
        self.asked = asyncio.Event()

    async def run(self) -> None:
        """Follow the records."""
        failures, index, chance = 0, 0, random.Random()
        while True:
            try:
                entries = await self._store.under(PREFIX, index=index)
            except (ConsulUnavailable, ConsulRefused) as error:
                self._complain(str(error))
                self.asked.set()
                await asyncio.sleep(backoff_s(failures, chance))
                failures, index = failures + 1, 0
                continue
            failures, index = 0, 0 if entries.index < index else max(1, entries.index)
            self.take(entries)
            self.asked.set()
            await asyncio.sleep(PAUSE_S)

    def take(self, entries: Entries) -> None:
        """Take up what Consul says now."""
        if self._trouble:
            self._trouble = ""
            logger.info("The records of roll-outs are followed in Consul again.")
        lost = [service for service in self._values if service not in entries.values]
        if lost:
            logger.warning(
                "Consul shows no record of the roll-out of %s any more: the last one holds. p2p split ends a split; a "
                "token in CONSUL_HTTP_TOKEN needs key_prefix:read on %s to see records.",
                ", ".join(sorted(lost)),
                PREFIX,
            )
            for service in lost:
                del self._values[service]
        changed = [service for service, value in entries.values.items() if self._values.get(service) != value]
        self._values.update(entries.values)
        usable = [service for service in changed if self._read(service, entries.values[service])]
        if usable:
            self._changed(dict(self._rollouts))

    def _read(self, service: str, value: bytes) -> bool:
        """Whether the record is a usable one."""
        try:
            self._rollouts[service] = read(value)
        except ValueError as error:
            kept = "the last good one holds" if service in self._rollouts else "there is no split"
            logger.warning(
                "The record %s%s in Consul cannot be used, %s: %s.", PREFIX, ascii(service)[1:-1], kept, error
            )
            return False
        return True

    def _complain(self, trouble: str) -> None:
        if not self._trouble:
            kept = "the last ones hold" if self._rollouts else "none is known"
            logger.warning("The records of roll-outs cannot be followed in Consul, and %s: %s", kept, trouble)
        self._trouble = trouble


@asynccontextmanager
async def following_rollouts(
    consul: ConsulSettings, changed: Callable[[Mapping[str, Rollout]], None]
) -> AsyncIterator[None]:
    """Follow the records while the context is open; it opens once Consul has been asked for them."""
    store = KeyValue(consul)
    watch = RecordWatch(store, changed)
    try:
        async with supervised("follow the records of roll-outs", watch.run):
            await event_within(watch.asked, FIRST_ANSWER_WAIT_S)
            yield
    finally:
        await store.close()
