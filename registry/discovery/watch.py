"""Keeps the snapshot of one service up to date: a blocking query, its answer, a new snapshot, the next query.

The backend is never polled: a query carries the index of the last answer and returns when something has changed. After
errors it waits with full jitter; when changes come in quick succession a token bucket limits the queries.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from registry.backend.errors import BackendUnavailable
from registry.backend.health_answer import HealthAnswer
from registry.backend.source import CALL_TIMEOUT_S, WAIT_S, Source
from registry.discovery.pacing import TokenBucket
from registry.discovery.reconcile import mark_stale, reconcile
from registry.discovery.saved.saved_snapshot import SavedSnapshot
from registry.discovery.snapshot import Snapshot
from registry.discovery.transition import Observe, Transition, ignore
from registry.runtime.errors import RegistryError
from registry.runtime.tasks.backoff import backoff_s
from registry.runtime.tasks.race import event_within

logger = logging.getLogger(__name__)

CHANGES_A_SECOND = 50.0
"""The most queries a second under churn: a change is seen within 20 ms, and the backend is spared."""

CHANGES_AT_ONCE = 2.0

UNUSABLE_LOGGED_AT_MOST = 20
"""Lines in the log for the unusable registrations of one answer."""

LEADERLESS_WAIT_S = 1.0
"""How soon an agent that answers with old data is asked again whether it has found a leader."""


IsHidden = Callable[[str], Awaitable[bool]]
"""Asks the backend whether it hides the instances of a service from us, rather than having none."""


class ServiceWatch:
    """Follows one service: `snapshot` is the current one; `changed(snapshot)` is called when the set has changed.

    `product` is the make of the backend. `confirmed_s` is the monotonic time of the last current answer, None before
    the first. `trouble` says why the last query had no answer, "" if it had one. `saved` is the last snapshot of an
    earlier process: it counts as the previous snapshot, and is served where the backend does not answer. `is_hidden`
    is asked before the last instances are dropped. `observe` is told of each change of the set, and of each time the
    backend begins or ceases to confirm it; `datacenter` goes with that.
    """

    def __init__(
        self,
        source: Source,
        service: str,
        changed: Callable[[Snapshot], None],
        *,
        is_hidden: IsHidden,
        saved: SavedSnapshot | None = None,
        observe: Observe = ignore,
        datacenter: str = "",
    ) -> None:
        self.service = service
        self.product = source.product
        self.snapshot = Snapshot(service)
        self.confirmed_s: float | None = None
        self.trouble = ""
        self.first_answer = asyncio.Event()
        self._source = source
        self._changed = changed
        self._is_hidden = is_hidden
        self._saved = saved
        self._observe = observe
        self._datacenter = datacenter
        self._failures = 0
        self._query_timeout: asyncio.Timeout | None = None
        self._wake = asyncio.Event()
        self._chance = random.Random()
        self._bucket = TokenBucket(rate_hz=CHANGES_A_SECOND, burst=CHANGES_AT_ONCE, now_s=time.monotonic())

    async def run(self) -> None:
        """Follow until cancelled. What is raised besides is a fault of ours; `run` may be called again after it."""
        while True:
            self._wake.clear()
            try:
                await self._query()
                self._failures, self.trouble = 0, ""
                await asyncio.sleep(self._bucket.delay_s(time.monotonic()))
            except RegistryError as error:
                self._keep_last_good(error)
                await self._pause(backoff_s(self._failures, self._chance))
                self._failures += 1
            except Exception:
                self._failures += 1
                self._take(mark_stale(self.snapshot))
                raise

    def leader_lost(self) -> None:
        """The backend has lost its leader: give up the waiting query and ask at once what the backend says now."""
        timeout = self._query_timeout
        if timeout is not None and not timeout.expired() and not self.snapshot.stale:
            timeout.reschedule(asyncio.get_running_loop().time())

    def leader_found(self) -> None:
        """The backend has a leader again: end the pause after an error."""
        self._wake.set()

    def stale_s(self, now_s: float) -> float | None:
        """For how long the backend has not confirmed the snapshot; None while it does."""
        if not self.snapshot.stale:
            return None
        return now_s - self.confirmed_s if self.confirmed_s is not None else 0.0

    async def _query(self) -> None:
        # After an error the query does not block: whether the backend is back must be known at once.
        index = 0 if self._failures else self.snapshot.index
        wait_s = self._wait_s() if index else 0.0
        try:
            async with asyncio.timeout(wait_s * 17 / 16 + CALL_TIMEOUT_S) as self._query_timeout:
                answer = await self._source.health(self.service, index=index, wait_s=wait_s)
        except TimeoutError:
            raise BackendUnavailable(f"{self.product} has no leader, or it cannot be reached.") from None
        finally:
            self._query_timeout = None
        await self._apply(answer)

    async def _apply(self, answer: HealthAnswer) -> None:
        previous = self.snapshot
        if not previous.known and self._saved is not None:
            previous = self._saved.snapshot
        if not answer.instances and previous.serving:
            answer = replace(answer, hidden=await self._is_hidden(self.service))
        now_s = time.monotonic()
        if answer.current:
            self.confirmed_s = now_s
        self._take(reconcile(previous, answer, now_s=now_s))

    async def _pause(self, pause_s: float) -> None:
        await event_within(self._wake, pause_s)

    def _wait_s(self) -> float:
        if self.snapshot.stale:
            return LEADERLESS_WAIT_S
        # While instances are held, or refuse connections, the query returns when their time is over, to be sent again.
        snapshot = self.snapshot
        times_s = [s for s in (snapshot.held_until_s, snapshot.next_unreachable_s) if s is not None]
        return min(WAIT_S, max(0.1, min(times_s) - time.monotonic())) if times_s else WAIT_S

    def _keep_last_good(self, error: RegistryError) -> None:
        self.trouble = str(error)
        if not self.snapshot.known and self._saved is not None:
            age_s = max(0.0, time.time() - self._saved.confirmed_at)  # the clock may have been set back since
            self.confirmed_s = time.monotonic() - age_s
            self._take(self._saved.snapshot)
        self._take(mark_stale(self.snapshot))

    def _take(self, snapshot: Snapshot) -> None:
        old, self.snapshot = self.snapshot, snapshot
        changed = old.content != snapshot.content
        if changed:
            self._log_unusable(old, snapshot)
            self._changed(snapshot)
        if changed or old.stale != snapshot.stale:
            trouble = self.trouble if snapshot.stale else ""
            self._observe(Transition(old, snapshot, trouble, self._datacenter, product=self.product))
        if snapshot.known:
            self.first_answer.set()

    def _log_unusable(self, old: Snapshot, snapshot: Snapshot) -> None:
        """Say once for each registration that is left out what is wrong with it; only a number of many."""
        fresh = [entry for entry in snapshot.unusable if entry not in old.unusable]
        for entry in fresh[:UNUSABLE_LOGGED_AT_MOST]:
            logger.warning("An instance of %s is left out, %a: %s.", self.service, entry.id[:200], entry.reason)
        if len(fresh) > UNUSABLE_LOGGED_AT_MOST:
            more = len(fresh) - UNUSABLE_LOGGED_AT_MOST
            logger.warning("%d more instances of %s are left out: /instances lists them.", more, self.service)
