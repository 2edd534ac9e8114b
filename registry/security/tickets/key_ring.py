"""The public ticket keys, followed in Consul's key/value store: what Consul has said last holds until it says more.

An error never empties the ring. Neither does a 404 for all keys together, which Consul answers after it has lost its
data: a revoked key leaves an entry that says so (`public_key`), so that no operator's command ever leads to a 404.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from registry.consul.errors import ConsulRefused, ConsulUnavailable
from registry.consul.key_value import Entries, KeyValue
from registry.consul.settings import ConsulSettings
from registry.runtime.tasks.backoff import backoff_s
from registry.runtime.tasks.supervise import supervised
from registry.security.tickets.public_key import PREFIX, PublishedKey, RevokedKey, read
from registry.security.tickets.ticket_check import TicketCheck

logger = logging.getLogger(__name__)

PAUSE_S = 0.05
"""Between two questions, so that a burst of changes costs 20 of them a second at most."""


class KeyRing:
    """The keys of all lookup hosts. `changed` is called when Consul has said something else than before.

    `run` follows them and ends only when it is cancelled.
    """

    def __init__(self, store: KeyValue, changed: Callable[[], None]) -> None:
        self.published: Mapping[str, PublishedKey] = {}
        self.revoked: Mapping[str, RevokedKey] = {}
        self.known = False
        self.missing = False
        self._store = store
        self._changed = changed
        self._values: Mapping[str, bytes] | None = None
        self._trouble = ""

    @property
    def public_keys(self) -> Mapping[str, Ed25519PublicKey]:
        """The keys by which tickets are checked, by their ids."""
        return {key_id: key.public for key_id, key in self.published.items()}

    async def run(self) -> None:
        """Follow the keys."""
        failures, index, chance = 0, 0, random.Random()
        while True:
            try:
                entries = await self._store.under(PREFIX, index=index)
            except (ConsulUnavailable, ConsulRefused) as error:
                self._complain(str(error))
                await asyncio.sleep(backoff_s(failures, chance))
                failures, index = failures + 1, 0
                continue
            failures, index = 0, 0 if entries.index < index else max(1, entries.index)
            self._take(entries)
            await asyncio.sleep(PAUSE_S)

    def _take(self, entries: Entries) -> None:
        if self._trouble:
            self._trouble = ""
            logger.info("The ticket keys are followed in Consul again.")
        if entries.missing and not self.missing:
            kept = f" any more: the {len(self.published)} known ones stay valid" if self.known else " yet"
            logger.log(
                logging.WARNING if self.known else logging.INFO,
                "Consul shows no ticket keys%s. A token in CONSUL_HTTP_TOKEN needs key_prefix:read on %s to see them.",
                kept,
                PREFIX,
            )
        if entries.missing == self.missing and (entries.missing or entries.values == self._values):
            return
        self.missing = entries.missing
        if not entries.missing:
            self._values = entries.values
            self._read(entries.values)
        self._changed()

    def _read(self, values: Mapping[str, bytes]) -> None:
        published, revoked = {}, {}
        for key_id, value in values.items():
            try:
                entry = read(key_id, value)
            except ValueError as error:
                logger.warning("The ticket key %s%r in Consul is ignored: %s.", PREFIX, key_id, error)
                continue
            if isinstance(entry, RevokedKey):
                revoked[key_id] = entry
            else:
                published[key_id] = entry
        self.published, self.revoked, self.known = published, revoked, True

    def _complain(self, trouble: str) -> None:
        if not self._trouble:
            kept = f"the {len(self.published)} known ones stay valid" if self.known else "none is known yet"
            logger.warning("The ticket keys cannot be followed in Consul, and %s: %s", kept, trouble.rstrip(".") + ".")
        self._trouble = trouble


@asynccontextmanager
async def checking_tickets(consul: ConsulSettings) -> AsyncIterator[TicketCheck]:
    """A check that knows, while the context is open, the keys that Consul holds."""
    store, check = KeyValue(consul), TicketCheck()
    ring: KeyRing

    def changed() -> None:
        if ring.known:
            check.use_keys(ring.public_keys)
            logger.info("Ticket keys that Consul holds: %d.", len(ring.published))

    ring = KeyRing(store, changed)
    try:
        async with supervised("follow the ticket keys", ring.run):
            yield check
    finally:
        await store.close()
