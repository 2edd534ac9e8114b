"""The way to one service: which of its workers a call asks, and what became of it.

With a subscription the choice is made here, without a word to anybody; without one, or while it is not
there yet, the lookup service makes it. How long answers take is remembered for both.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection

from p2pclient.balancing.balancer import Balance
from p2pclient.balancing.outlier_ejection import Outcome
from p2pclient.discovery.base import Listing, Source
from p2pclient.discovery.stale_workers import Remembered
from p2pclient.discovery.subscription import Watch
from p2pclient.retrying.latency_quantile import Hedge
from p2pclient.retrying.retry_policy import DESERTED_S, Failure, Trouble
from p2pclient.types import Worker

_OUTCOMES = {Trouble.REFUSED: Outcome.REFUSED, Trouble.GONE: Outcome.FAILED, Trouble.FAILED: Outcome.FAILED}

GONE_S = 1.0
"""How long a worker that refused a connection is left alone (source: Finagle's FailFast)."""

FORGOTTEN_S = 60.0
"""How long it is known which worker's turn it is to be tried again."""


class Route:
    """One service. `balance` None: the lookup service is asked at each call."""

    def __init__(self, source: Source, service: str | None, balance: Balance | None) -> None:
        self.hedge = Hedge()
        self.remembered = Remembered()
        self.reached = False
        self.watch = None if balance is None else Watch(source, service, self._replace)
        self._balance = balance
        self._workers: tuple[Worker, ...] = ()
        self._refused_s: dict[Worker, float] = {}  # when each was last met as nobody, the longest ago first
        self._refusing = False  # whether nobody has answered since
        self._probe_s = 0.0
        self.news = 0
        self._changed = asyncio.Event()

    @property
    def workers(self) -> tuple[Worker, ...]:
        """Those that the subscription names to be used; none without one."""
        return self._workers

    @property
    def known(self) -> bool:
        """Whether the subscription has brought a list yet."""
        return self.watch is not None and self.watch.listing is not None

    @property
    def deserted(self) -> bool:
        """Whether every worker of the subscription refuses connections."""
        return self._balance is not None and self._balance.deserted

    def may_probe(self, now_s: float) -> bool:
        """Whether one of the calls that wait for somebody to be there may find out now; the next one later."""
        if now_s < self._probe_s:
            return False
        self._probe_s = now_s + DESERTED_S
        return True

    async def subscribed(self, limit_s: float) -> None:
        """Wait until the subscription has asked for the first time, whatever came of it."""
        if self.watch is None or self.watch.tried.is_set():
            return
        self.watch.start()
        try:
            async with asyncio.timeout(limit_s):
                await self.watch.tried.wait()
        except TimeoutError:
            return

    async def changed(self, limit_s: float) -> bool:
        """Wait for another list, or for a worker to be back; whether so in time. Meanwhile this one is in doubt."""
        if self.watch is not None and self.known:
            self.watch.doubt()
        try:
            async with asyncio.timeout(limit_s):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True

    def pick(self, exclude: Collection[Worker], now_s: float) -> Worker | None:
        """The worker to ask, none of `exclude`; None if the subscription has none to offer."""
        return None if self._balance is None else self._balance.pick(now_s=now_s, exclude=exclude)

    def gone(self) -> dict[Worker, float]:
        """The workers that refused a connection a moment ago, as long as there is no subscription to leave them out.

        Each may be asked again at any time, 0, if there is nobody else.
        """
        if self._balance is not None:
            return {}
        since_s = time.monotonic() - GONE_S
        return {worker: 0.0 for worker, refused_s in self._refused_s.items() if refused_s > since_s}

    def longest_gone(self, workers: Collection[Worker]) -> Worker:
        """The one of these whose last refusal is the longest ago: so each is tried in its turn."""
        return min(workers, key=lambda worker: self._refused_s.get(worker, 0.0))

    def began(self, worker: Worker, now_s: float) -> None:
        """An attempt on a worker begins."""
        if self._balance is not None:
            self._balance.began(worker, now_s)

    def ended(self, worker: Worker, began_s: float, failure: Failure | None) -> None:
        """An attempt that began then has ended, with an answer or with this failure."""
        now_s = time.monotonic()
        if failure is None:
            outcome = Outcome.OK
            self.hedge.observe(now_s - began_s)
        else:
            outcome = _OUTCOMES.get(failure.trouble, Outcome.NEUTRAL)
        self.reached = self.reached or outcome in (Outcome.OK, Outcome.NEUTRAL)
        self._count(worker, now_s, now_s - began_s, outcome)

    def abandoned(self, worker: Worker, began_s: float) -> None:
        """An attempt that began then was given up, for no fault of the worker's."""
        now_s = time.monotonic()
        self._count(worker, now_s, now_s - began_s, Outcome.NEUTRAL)

    def _count(self, worker: Worker, now_s: float, took_s: float, outcome: Outcome) -> None:
        if self._balance is None:
            back = self._refusing and outcome is Outcome.OK
        else:
            deserted = self._balance.deserted
            self._balance.ended(worker, now_s=now_s, took_s=took_s, outcome=outcome)
            back = deserted and not self._balance.deserted
        self._refused_s.pop(worker, None)
        if outcome is Outcome.REFUSED:
            self._refusing = True
            self._refused_s[worker] = now_s
            while now_s - self._refused_s[(oldest := next(iter(self._refused_s)))] > FORGOTTEN_S:
                del self._refused_s[oldest]
        elif outcome is Outcome.OK:
            self._refusing = False
        if back:
            self._wake()

    def _replace(self, listing: Listing) -> None:
        self._workers = listing.serving
        assert self._balance is not None, "only a subscription brings lists"
        self._balance.replace(listing.serving, now_s=time.monotonic())
        self._wake()

    def _wake(self) -> None:
        """Let the calls that wait look again."""
        self.news += 1
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
