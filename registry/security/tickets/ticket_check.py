"""Decides at a worker whether a request's ticket permits the request; a verified ticket is kept until it expires.

A signature takes 60 microseconds to verify, and a client sends the same ticket with many requests. Pure: the time and
the keys are given.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

from registry.security.tickets.ticket import SKEW_S, PublicKeys, Ticket, TicketRefused, check_time, verify

KEPT_AT_MOST = 4096
"""Verified tickets that are kept. When there is no room, all are dropped: verifying them again costs little."""

COUNTED_AT_MOST = 65_536
"""Tickets whose requests are counted at a time. A count is never dropped early, or the ticket could be used again."""


class Asked(NamedTuple):
    """What a request asks of a worker: a service (None: nothing that belongs to one), with a body of some bytes."""

    service: str | None
    body_bytes: int | None = None


class TicketCheck:
    """The tickets that one worker has seen; `keys` are the public keys that it knows, None while it knows none.

    Functions in `on_new_keys` are called when the keys change: a ticket that was verified before may be revoked.
    """

    def __init__(self) -> None:
        self.on_new_keys: list[Callable[[], None]] = []
        self._keys: PublicKeys | None = None
        self._kept: dict[str, Ticket] = {}
        self._counts: dict[str, _Count] = {}

    def use_keys(self, keys: PublicKeys) -> None:
        """Accept from now on what these keys have signed, and nothing else, kept or not."""
        self._keys = keys
        self._kept.clear()
        for call in self.on_new_keys:
            call()

    def check(
        self, text: str, asked: Asked, *, instance_ids: Collection[str], services: Collection[str], now_s: float
    ) -> Ticket:
        """The ticket, where it permits what is `asked` of a worker with these registrations; counts nothing.

        Raises TicketRefused: 401 for a text that is no valid ticket now, 403 for another service or too many requests,
        413 for a body that is too large, 421 for another worker, 503 while no key is known.
        """
        ticket = self._kept.get(text)
        if ticket is None:
            ticket = self._verified(text)
        if not ticket.issued_s - SKEW_S <= now_s < ticket.expires_s + SKEW_S:
            self._kept.pop(text, None)
            check_time(ticket, now_s)
        if asked.service != ticket.service:
            _check_service(ticket, asked.service, services)
        if ticket.instance_id is not None and ticket.instance_id not in instance_ids:
            raise TicketRefused(421, "The ticket is for another worker: look a worker up again.")
        most_bytes = ticket.limits.max_body_bytes
        if most_bytes is not None and (asked.body_bytes or 0) > most_bytes:
            raise TicketRefused(
                413, f"The body has {asked.body_bytes} bytes, the ticket allows {most_bytes} (max_body)."
            )
        if ticket.limits.max_requests is not None and self._used(ticket) >= ticket.limits.max_requests:
            raise _used_up(ticket)
        return ticket

    def count(self, ticket: Ticket, now_s: float) -> None:
        """Count a request that begins with this ticket, where the ticket allows a number of them."""
        limits = ticket.limits
        if limits.max_requests is None or limits.ticket_id is None:
            return
        if limits.ticket_id not in self._counts and len(self._counts) >= COUNTED_AT_MOST:
            self._counts = {name: count for name, count in self._counts.items() if count.until_s > now_s}
            if len(self._counts) >= COUNTED_AT_MOST:
                raise TicketRefused(503, f"{COUNTED_AT_MOST} tickets are counted already, the most there may be.")
        used = self._used(ticket)
        if used >= limits.max_requests:
            raise _used_up(ticket)
        self._counts[limits.ticket_id] = _Count(used + 1, ticket.expires_s + SKEW_S)

    def _verified(self, text: str) -> Ticket:
        if self._keys is None:
            raise TicketRefused(503, "This worker has not learned from Consul yet by which keys tickets are signed.")
        ticket = verify(text, self._keys)
        if len(self._kept) >= KEPT_AT_MOST:
            self._kept.clear()
        self._kept[text] = ticket
        return ticket

    def _used(self, ticket: Ticket) -> int:
        count = self._counts.get(ticket.limits.ticket_id or "")
        return 0 if count is None else count.used


class _Count(NamedTuple):
    """How many requests a ticket has begun, and until when that must be known."""

    used: int
    until_s: int


def _check_service(ticket: Ticket, asked: str | None, services: Collection[str]) -> None:
    if asked is not None or ticket.service not in services:
        which = f"and not for {asked}" if asked is not None else "which this worker does not serve"
        raise TicketRefused(403, f"The ticket is for the service {ticket.service}, {which}: ask for one of the other.")


def _used_up(ticket: Ticket) -> TicketRefused:
    return TicketRefused(
        403, f"The ticket allowed {ticket.limits.max_requests} requests, and they were made: ask for another one."
    )
