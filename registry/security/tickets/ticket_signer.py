"""Makes tickets at a lookup service: signs each once per second, caller and worker, and hands out the kept text.

Who holds a ticket may use it until it expires, a minute after it was signed. So one ticket for all lookups of one
caller within one second permits nothing that a ticket for each lookup would not permit
(docs/decisions/0033-tickets.md). Pure: the key and the time are given.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from registry.security.caller import Caller
from registry.security.tickets.ticket import NO_LIMITS, Limits, Ticket, sign

LIFETIME_S = 60

KEPT_AT_MOST = 65_536
"""Tickets that are kept within one second; about 500 bytes each."""


class NoSigningKey(Exception):
    """There is no key that workers know: Consul has not taken it yet."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key, its id, and when it was made, in seconds since 1970; the key is in no repr."""

    key_id: str
    private: Ed25519PrivateKey
    created_s: float = 0.0


class TicketSigner:
    """Signs tickets of `lifetime_s` with the key that `use` names; `clock` gives seconds since 1970.

    Functions in `on_new_key` are called with the id of each new key.
    """

    def __init__(self, *, lifetime_s: int = LIFETIME_S, clock: Callable[[], float] = time.time) -> None:
        self.lifetime_s = lifetime_s
        self._clock = clock
        self.on_new_key: list[Callable[[str], None]] = []
        self._key: SigningKey | None = None
        self._second = -1
        self._kept: dict[tuple[Caller, str, str | None], str] = {}

    @property
    def ready(self) -> bool:
        """Whether there is a key to sign with."""
        return self._key is not None

    @property
    def key_id(self) -> str | None:
        """The id of the key that signs; None without one."""
        return self._key.key_id if self._key is not None else None

    @property
    def key_created_s(self) -> float | None:
        """When the key that signs was made, in seconds since 1970; None without one."""
        return self._key.created_s if self._key is not None else None

    def use(self, key: SigningKey | None) -> None:
        """Sign with this key from now on; None: sign nothing."""
        is_new = key is not None and key.key_id != self.key_id
        self._key = key
        self._kept.clear()
        if is_new and key is not None:
            for call in self.on_new_key:
                call(key.key_id)

    def epoch(self) -> tuple[int, str | None]:
        """Changes whenever tickets made before must not be handed out any more."""
        return int(self._clock()), self.key_id

    def ticket(self, caller: Caller, service: str, instance_id: str | None = None) -> str:
        """A ticket for `caller`, at one worker or at any of `service`. Raises NoSigningKey where none can be signed."""
        second = int(self._clock())
        if second != self._second or len(self._kept) >= KEPT_AT_MOST:
            self._second = second
            self._kept.clear()
        wanted = (caller, service, instance_id)
        text = self._kept.get(wanted)
        if text is None:
            text = self._kept[wanted] = self.narrow_ticket(caller, service, NO_LIMITS, instance_id)
        return text

    def narrow_ticket(self, caller: Caller, service: str, limits: Limits, instance_id: str | None = None) -> str:
        """A ticket with limits, which is not kept."""
        if self._key is None:
            raise NoSigningKey
        now_s = int(self._clock())
        ticket = Ticket(caller.name, service, now_s, now_s + self.lifetime_s, instance_id, limits, caller.quota)
        return sign(ticket, self._key.private, self._key.key_id)
