"""Keeps the ticket keys of one lookup host: makes the first, publishes public halves in Consul, removes old ones.

`key_rotation` decides, this module carries out. A key is published before it is written to the folder, so that every
key in the folder is one that workers could learn. A key that is removed leaves the folder before it leaves Consul, so
that no other process of this host publishes it again.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from registry.consul.errors import ConsulRefused, ConsulUnavailable
from registry.consul.key_value import KeyValue
from registry.consul.settings import ConsulSettings
from registry.runtime.errors import SettingsError
from registry.runtime.tasks.race import event_within
from registry.runtime.tasks.supervise import supervised
from registry.security.tickets.key_folder import KeyFolder, PrivateKey, new_key
from registry.security.tickets.key_ring import KeyRing
from registry.security.tickets.key_rotation import KeyPlan, plan
from registry.security.tickets.public_key import PREFIX, PublishedKey, RevokedKey, written
from registry.security.tickets.ticket_signer import SigningKey, TicketSigner

logger = logging.getLogger(__name__)

LOOK_S = 1.0
"""How often the folder is looked at: `p2p keys rotate` and other processes of this host write to it."""


class SigningKeys:
    """The keys in `folder`, with which `signer` signs; public halves go to `store`, and `ring` says what is there."""

    def __init__(
        self,
        folder: KeyFolder,
        store: KeyValue,
        ring: KeyRing,
        signer: TicketSigner,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder
        self._store = store
        self._ring = ring
        self._signer = signer
        self._clock = clock
        self._trouble = ""

    async def run(self, changed: asyncio.Event) -> None:
        """Keep them for ever; `changed` is set when the ring has changed."""
        while True:
            try:
                await self.look()
                self._trouble = ""
            except (ConsulUnavailable, ConsulRefused, SettingsError) as error:
                self._complain(str(error))
            await event_within(changed, LOOK_S)
            changed.clear()

    async def look(self) -> None:
        """Do what there is to do now."""
        ring = self._ring
        published = None if not ring.known and not ring.missing else () if ring.missing else ring.published
        own = await asyncio.to_thread(self._folder.load)
        now = plan(
            own,
            published=published,
            revoked=ring.revoked,
            lifetime_s=self._signer.lifetime_s,
            now_s=self._clock(),
        )
        self._sign_with(now.signing)
        if now.signing is None:  # before anything is removed: workers keep old keys while Consul holds none at all
            key = new_key(self._clock())
            await publish(self._store, key)
            await asyncio.to_thread(self._folder.add, key)
            self._sign_with(key)
        await self._carry_out(now)

    async def _carry_out(self, now: KeyPlan) -> None:
        if now.publish:
            held = (await self._store.under(PREFIX)).values  # the ring may be a moment behind
            for key in now.publish:
                if key.key_id not in held:
                    logger.warning("The ticket key %s is not in Consul any more: it is published again.", key.key_id)
                    await publish(self._store, key)
        for key in now.remove:
            await asyncio.to_thread(self._folder.remove, key.key_id)
            await self._store.delete(f"{PREFIX}{key.key_id}")
            logger.info("The ticket key %s is removed.", key.key_id)

    def _sign_with(self, key: PrivateKey | None) -> None:
        if key is None:
            self._signer.use(None)
        elif key.key_id != self._signer.key_id:
            self._signer.use(SigningKey(key.key_id, key.private, key.created_s))
            logger.info("Tickets are signed with the key %s.", key.key_id)

    def _complain(self, trouble: str) -> None:
        if trouble != self._trouble:
            logger.warning("The ticket keys: %s", trouble)
        self._trouble = trouble


async def publish(store: KeyValue, key: PrivateKey) -> None:
    """Write the public half of a key to Consul."""
    entry = PublishedKey(key.key_id, key.private.public_key(), socket.gethostname(), key.created_s)
    await store.put(f"{PREFIX}{key.key_id}", written(entry))


async def withdraw(store: KeyValue, key_id: str, now_s: float) -> None:
    """Let no worker accept, and no lookup service use, this key any more."""
    await store.put(f"{PREFIX}{key_id}", written(RevokedKey(key_id, socket.gethostname(), int(now_s))))


@asynccontextmanager
async def signing(folder: KeyFolder, consul: ConsulSettings, *, lifetime_s: int) -> AsyncIterator[TicketSigner]:
    """A signer whose keys are kept while the context is open. Raises SettingsError for an unusable folder."""
    await asyncio.to_thread(folder.load)
    store, signer, changed = KeyValue(consul), TicketSigner(lifetime_s=lifetime_s), asyncio.Event()
    ring = KeyRing(store, changed.set)
    keys = SigningKeys(folder, store, ring, signer)
    try:
        async with (
            supervised("follow the ticket keys", ring.run),
            supervised("keep the ticket keys", lambda: keys.run(changed)),
        ):
            yield signer
    finally:
        await store.close()
