"""A lookup host's part in tests: a key that is published in a Consul, and any ticket that it may sign."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from registry.consul.key_value import KeyValue
from registry.consul.settings import ConsulSettings
from registry.security.tickets.key_folder import PrivateKey, new_key
from registry.security.tickets.signing_keys import publish, withdraw
from registry.security.tickets.ticket import Ticket, sign


@dataclass(frozen=True)
class Issuer:
    """Signs tickets for the service `echo` with `key`, which `store` holds."""

    store: KeyValue
    key: PrivateKey

    def ticket(self, **changes: Any) -> str:
        now_s = int(time.time())
        fields: dict[str, Any] = {"caller": "alice", "service": "echo", "issued_s": now_s, "expires_s": now_s + 60}
        return sign(Ticket(**fields | changes), self.key.private, self.key.key_id)

    async def revoke(self) -> None:
        await withdraw(self.store, self.key.key_id, time.time())


@asynccontextmanager
async def issuing(consul_url: str) -> AsyncIterator[Issuer]:
    store, key = KeyValue(ConsulSettings(url=consul_url)), new_key(time.time())
    try:
        await publish(store, key)
        yield Issuer(store, key)
    finally:
        await store.close()
