"""One service as calls see it: which of its workers may be asked, and what became of the attempts on them.

With a subscription the worker is picked here, without a question to anybody; without one, or until it has brought
a list, the lookup service picks it. How long answers take is remembered for both.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence

from p2pclient.balancing.balancer import Balancer
from p2pclient.balancing.outlier_ejection import Outcome
from p2pclient.balancing.split_balancer import SplitBalancer
from p2pclient.calls.pauses import Pauses
from p2pclient.discovery.base import Listing, WorkerSource
from p2pclient.discovery.stale_workers import StaleWorkers
from p2pclient.discovery.subscription import Subscription
from p2pclient.failures import Failure, Trouble
from p2pclient.retrying.latency_quantile import LatencyQuantile
from p2pclient.timeouts import PROBE_S
from p2pclient.types import Worker

_OUTCOMES = {Trouble.REFUSED: Outcome.REFUSED, Trouble.GONE: Outcome.FAILED, Trouble.FAILED: Outcome.FAILED}

LEFT_OUT_S = 1.0
"""How long a worker that refused a connection is left out where calls look up (source: Finagle's FailFast)."""

FORGOTTEN_S = 60.0
"""How long it is known when a worker refused, so that each is tried again in its turn."""


class ServiceChannel:
    """One service, `service` None being the default one. `balancer` None: the lookup service is asked at each call.

    `shadows`: of which percent of the calls a version gets a copy.
    """

    def __init__(self, source: WorkerSource, service: str | None, balancer: Balancer | None, pauses: Pauses) -> None:
        self.service = service
        self.quantile = LatencyQuantile()
        self.stale_workers = StaleWorkers()
        self.reached = False
        self.subscription = None if balancer is None else Subscription(source, service, self._replace)
        self._balancer: Balancer | SplitBalancer | None = balancer
        self._template = balancer
        self._pauses = pauses
        self._workers: tuple[Worker, ...] = ()
        self.shadows: Mapping[str, float] = {}
        self._refused_s: dict[Worker, float] = {}  # when each last refused, the longest ago first
        self._refusing = False  # whether no worker has answered since
        self._probe_s = 0.0
        self.changes = 0
        self._changed = asyncio.Event()

    @property
    def workers(self) -> tuple[Worker, ...]:
        """The workers to use, as the subscription names them; none without one."""
        return self._workers

    @property
    def known(self) -> bool:
        """Whether the subscription has brought a list yet."""
        return self.subscription is not None and self.subscription.listing is not None

    @property
    def all_refuse(self) -> bool:
        """Whether every worker of the subscription refuses connections."""
        return self._balancer is not None and self._balancer.all_refuse

    def may_probe(self, now_s: float) -> bool:
        """Whether one of the calls that wait for a worker to be back may try one now; the next call may later."""
        if now_s < self._probe_s:
            return False
        self._probe_s = now_s + PROBE_S
        return True

    async def subscribed(self, limit_s: float) -> None:
        """Wait until the subscription has asked for the first time, whatever the answer is."""
        if self.subscription is not None and not self.subscription.asked:
            await self._pauses.wait(self.subscription.start(), limit_s)

    async def changed(self, limit_s: float) -> bool:
        """Wait for another list, or for a worker to be back; whether so in time. Meanwhile this list is in doubt."""
        if self.subscription is not None and self.known:
            self.subscription.doubt()
        return await self._pauses.wait(self._changed, limit_s)

    def pick(self, exclude: Collection[Worker], now_s: float) -> Worker | None:
        """The worker to ask, none of `exclude`; None if the subscription has none to offer."""
        return None if self._balancer is None else self._balancer.pick(now_s=now_s, exclude=exclude)

    def left_out(self) -> dict[Worker, float]:
        """The workers that refused a connection a moment ago, where there is no subscription that leaves them out.

        Each may be asked again at any time, 0, if there is no other.
        """
        if self._balancer is not None:
            return {}
        since_s = time.monotonic() - LEFT_OUT_S
        return {worker: 0.0 for worker, refused_s in self._refused_s.items() if refused_s > since_s}

    def refused_longest_ago(self, workers: Collection[Worker]) -> Worker:
        """The one of these whose last refusal is the longest ago: so each is tried in its turn."""
        return min(workers, key=lambda worker: self._refused_s.get(worker, 0.0))

    def began(self, worker: Worker, now_s: float) -> None:
        """An attempt on a worker begins."""
        if self._balancer is not None:
            self._balancer.began(worker, now_s)

    def answered(self, worker: Worker, began_s: float) -> None:
        """The attempt that began then was answered."""
        took_s = time.monotonic() - began_s
        self.quantile.observe(took_s)
        self.reached = True
        self._count(worker, began_s, Outcome.OK)

    def failed(self, worker: Worker, began_s: float, failure: Failure) -> None:
        """The attempt that began then has failed."""
        outcome = _OUTCOMES.get(failure.trouble, Outcome.NEUTRAL)
        self.reached = self.reached or outcome is Outcome.NEUTRAL
        self._count(worker, began_s, outcome)

    def abandoned(self, worker: Worker, began_s: float, *, hung: bool) -> None:
        """The attempt that began then was cancelled, for no fault of the worker's unless it was `hung`."""
        self._count(worker, began_s, Outcome.FAILED if hung else Outcome.NEUTRAL)

    def _count(self, worker: Worker, began_s: float, outcome: Outcome) -> None:
        now_s = time.monotonic()
        if self._balancer is None:
            back = self._refusing and outcome is Outcome.OK
        else:
            refusing = self._balancer.all_refuse
            self._balancer.ended(worker, now_s=now_s, took_s=now_s - began_s, outcome=outcome)
            back = refusing and not self._balancer.all_refuse
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

    def shadow_workers(self, version: str) -> Sequence[Worker]:
        """The workers of a version that may get copies of calls."""
        listing = self.subscription.listing if self.subscription is not None else None
        return () if listing is None else [worker for worker in listing.serving if worker.version == version]

    def _replace(self, listing: Listing) -> None:
        assert self._template is not None, "only a subscription brings lists"
        now_s, shares = time.monotonic(), listing.split
        self.shadows = listing.rollout.shadows if listing.rollout is not None else {}
        if shares:
            self._workers = tuple(worker for worker in listing.serving if worker.version in shares)
            if not isinstance(self._balancer, SplitBalancer):
                self._balancer = SplitBalancer(self._template)
            self._balancer.replace(self._workers, shares, now_s=now_s)
        else:
            self._workers = listing.serving
            if isinstance(self._balancer, SplitBalancer):
                self._balancer = self._template = self._template.emptied()
            self._template.replace(listing.serving, now_s=now_s)
        self._wake()

    def _wake(self) -> None:
        """Let the calls that wait look again."""
        self.changes += 1
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
