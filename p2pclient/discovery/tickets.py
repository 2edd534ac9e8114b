"""Tickets for the workers that want one: that which came with an address, else one per service, renewed in time.

A service's ticket is asked for once and kept. When half of its time has passed, the next call has it renewed in the
background, so that no call waits for a lookup but the first, and the one after a long pause. What a ticket says is for
workers to read; here it is a text with a lifetime.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from p2pclient.bounds import whole_number
from p2pclient.errors import ClientClosed, DeadlineExceeded
from p2pclient.failures import Failure, Trouble
from p2pclient.timeouts import LOOKUP_TRY_S
from p2pclient.types import Worker

logger = logging.getLogger("p2pclient")

_TICKET = re.compile(r"[A-Za-z0-9._~+/=-]{1,4096}")
"""What a ticket may consist of: a bearer token (RFC 6750), which no header or URL can misread."""

LIFETIME_AT_MOST_S = 86_400
MARGIN_S = 1.0
"""A ticket is not sent in its last second: the request takes its time to arrive."""

AGAIN_S = 1.0
"""The least time between two attempts to renew a ticket that is still good."""

REPLACED_S = 5.0
"""For so long a ticket that replaced a refused one is believed: a worker that refuses it is at fault itself."""

KEPT_AT_MOST = 4096
"""Tickets of single workers; those that have expired are dropped when there are so many."""


@dataclass(frozen=True, slots=True)
class HandedTicket:
    """A ticket as a lookup service hands it out, good for `lifetime_s` from now."""

    text: str = field(repr=False)
    lifetime_s: float


@dataclass(slots=True)
class _Kept:
    text: str = field(repr=False)
    renew_s: float
    until_s: float
    believed_until_s: float = -math.inf


Fetch = Callable[[str, float], Awaitable[HandedTicket]]
"""Ask for a ticket of a service, within so many seconds; raises Failure."""


class Tickets:
    """The tickets of one client; `fetch` asks for one that is good at every worker of a service."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._of_workers: dict[tuple[str, str], _Kept] = {}
        self._of_services: dict[str, _Kept] = {}
        self._fetching: dict[str, asyncio.Task[str]] = {}
        self._refused_s: dict[str, float] = {}

    def note(self, worker: Worker, lifetime_s: float) -> None:
        """Keep the ticket that came with a worker's address."""
        if worker.ticket is None:
            return
        now_s = time.monotonic()
        if len(self._of_workers) >= KEPT_AT_MOST:
            self._of_workers = {key: kept for key, kept in self._of_workers.items() if kept.until_s > now_s}
        self._of_workers[worker.service, worker.id] = _kept(HandedTicket(worker.ticket, lifetime_s), now_s)

    async def ticket(self, worker: Worker, limit_s: float) -> str:
        """A ticket for this worker, within `limit_s`. Raises Failure where there is none to be had."""
        now_s = time.monotonic()
        own = self._of_workers.get((worker.service, worker.id))
        if own is not None and own.until_s > now_s:
            return own.text
        kept = self._of_services.get(worker.service)
        if kept is None or kept.until_s <= now_s:
            return await self._fetched(worker.service, limit_s)
        if kept.renew_s <= now_s:
            kept.renew_s = now_s + AGAIN_S
            self._fetch_once(worker.service)
        return kept.text

    def refused(self, worker: Worker, ticket: str) -> bool:
        """The worker does not accept this ticket: use it no more, and say whether another one may do better.

        One that replaced a refused one a moment ago is kept. So a worker that refuses every ticket, because its clock
        is off, does not make each call ask the lookup service.
        """
        now_s = time.monotonic()
        own = self._of_workers.get((worker.service, worker.id))
        if own is not None and own.text == ticket:
            del self._of_workers[worker.service, worker.id]
        kept = self._of_services.get(worker.service)
        if kept is not None and kept.text == ticket:
            if now_s < kept.believed_until_s:
                return False
            del self._of_services[worker.service]
            self._refused_s[worker.service] = now_s
        return True

    async def close(self) -> None:
        """Ask for nothing any more."""
        fetching = list(self._fetching.values())
        for task in fetching:
            task.cancel()
        await asyncio.gather(*fetching, return_exceptions=True)

    async def _fetched(self, service: str, limit_s: float) -> str:
        """The ticket of the one request that is under way for all calls that wait."""
        task = self._fetch_once(service)
        try:
            async with asyncio.timeout(limit_s):
                return await asyncio.shield(task)
        except TimeoutError as error:
            late = DeadlineExceeded("the lookup service gave no ticket in the time given to the call")
            raise Failure(Trouble.NO_LOOKUP, late, silent_s=limit_s) from error
        except asyncio.CancelledError:
            if task.cancelled():
                raise ClientClosed("the client was closed during the call") from None
            raise

    def _fetch_once(self, service: str) -> asyncio.Task[str]:
        task = self._fetching.get(service)
        if task is None:
            task = asyncio.create_task(self._fetch_one(service), name=f"p2pclient asks for a ticket for {service}")
            self._fetching[service] = task
            task.add_done_callback(lambda done: self._done(service, done))
        return task

    async def _fetch_one(self, service: str) -> str:
        handed = await self._fetch(service, LOOKUP_TRY_S)
        kept = self._of_services[service] = _kept(handed, time.monotonic())
        kept.believed_until_s = self._refused_s.get(service, -math.inf) + REPLACED_S
        return handed.text

    def _done(self, service: str, task: asyncio.Task[str]) -> None:
        self._fetching.pop(service, None)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Failure):
            logger.info("%s: no new ticket: %s", service, error.error.args[0])
        elif error is not None and not isinstance(error, ClientClosed):
            logger.error("%s: a ticket could not be asked for", service, exc_info=error)


def read_handed(entry: dict[str, Any], lifetime_field: str) -> HandedTicket | None:
    """The ticket in a JSON object; None if there is none. Raises ValueError or KeyError if it is no ticket."""
    text = entry.get("ticket")
    if text is None:
        return None
    if not isinstance(text, str) or not _TICKET.fullmatch(text):
        raise ValueError("not a ticket")
    return HandedTicket(text, whole_number(entry[lifetime_field], least=1, most=LIFETIME_AT_MOST_S))


def _kept(handed: HandedTicket, now_s: float) -> _Kept:
    margin_s = min(MARGIN_S, handed.lifetime_s / 4)
    return _Kept(handed.text, now_s + handed.lifetime_s / 2, now_s + handed.lifetime_s - margin_s)
