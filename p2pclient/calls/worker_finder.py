"""A worker for a call whose subscription has none to pick: it is new, has lost all, or all of them were tried.

The lookup service is asked, again and again if it has to be; while it is away, the workers that it named before are
used. Where every worker refuses connections, one call at a time finds out whether one of them is back.
"""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from p2pclient import timeouts
from p2pclient.calls.call_state import CallState, final
from p2pclient.calls.deadline import Deadline
from p2pclient.calls.pauses import Pauses
from p2pclient.calls.service_channel import ServiceChannel
from p2pclient.discovery.base import WorkerSource
from p2pclient.failures import Failure, Trouble, outcome_of
from p2pclient.retrying import retry_policy
from p2pclient.retrying.retry_budget import RetryBudget
from p2pclient.transport.request_id import Identified
from p2pclient.types import Worker

T = TypeVar("T")

Question = Callable[[float], Coroutine[Any, Any, T]]
"""Ask the lookup service, within so many seconds; raises Failure."""

Pause = Callable[[float], Awaitable[bool]]
"""Wait so many seconds; True, and earlier, if there is nothing to wait for any more."""


class WorkerFinder:
    """Finds workers that `source` knows; an attempt on one that refused before is taken from `budget`."""

    def __init__(self, source: WorkerSource, budget: RetryBudget, pauses: Pauses) -> None:
        self._source = source
        self._budget = budget
        self._pauses = pauses
        self._reached = False

    async def find(self, channel: ServiceChannel, call: CallState[Any], deadline: Deadline) -> Worker:
        """The worker to ask, waited for if need be; raises P2PError."""
        await channel.subscribed(min(timeouts.SUBSCRIBE_S, deadline.left_s / 2))
        while True:
            call.notice(channel.changes)
            worker = None if channel.all_refuse else channel.pick(call.tried, time.monotonic())
            if worker is not None:
                return worker
            avoided = channel.left_out() | call.tried
            workers: Sequence[Worker] | None = channel.workers or await self._looked_up(
                channel, avoided, deadline, tries=call.attempts, request_id=call.request_id
            )
            if workers is None:
                continue  # the subscription has a new list
            worker, free_at_s = retry_policy.choose(workers, avoided)
            if worker not in avoided and not channel.all_refuse:
                return worker
            if not call.failures or call.failures[-1].trouble is Trouble.REFUSED:
                found = await self._probed(channel, channel.refused_longest_ago(workers), call, deadline)
                if found is not None:
                    return found
                continue
            hold_s = free_at_s - deadline.spent_s
            if hold_s <= 0:
                return worker
            if not retry_policy.fits(hold_s, deadline.left_s):
                raise final(call.failures)
            if not await channel.changed(hold_s):
                return worker

    async def another(
        self, channel: ServiceChannel, avoided: Mapping[Worker, float], *, request_id: str = ""
    ) -> Worker | None:
        """A worker that is none of these; None if there is none without waiting."""
        worker = channel.pick(avoided, time.monotonic())
        if worker is not None or channel.known:
            return worker
        found = await outcome_of(self._next(channel.service, len(avoided) + 1, request_id, timeouts.LOOKUP_TURN_S))
        if isinstance(found, Failure):
            return None
        return next((worker for worker in found if worker not in avoided), None)

    async def _probed(
        self, channel: ServiceChannel, worker: Worker, call: CallState[Any], deadline: Deadline
    ) -> Worker | None:
        """The worker, which refused before, if this call is to find out now; None: look for a worker again.

        Of all calls that wait, one tries every tenth of a second, within the budget; all go on once a worker has
        answered one of them.
        """
        now_s = time.monotonic()
        if call.tried.get(worker, 0.0) <= deadline.spent_s and channel.may_probe(now_s) and self._budget.take(now_s):
            return worker
        wait_s = timeouts.PROBE_S * (0.5 + random.random())
        if not retry_policy.fits(wait_s, deadline.left_s):
            if call.failures:
                raise final(call.failures)
            return worker  # the attempt tells why the call fails
        await channel.changed(wait_s)
        return None

    async def _looked_up(
        self,
        channel: ServiceChannel,
        avoided: Mapping[Worker, float],
        deadline: Deadline,
        *,
        tries: int,
        request_id: str,
    ) -> Sequence[Worker] | None:
        """Workers from the lookup service or, while it is away, those that it named before."""
        count = len(avoided) + 1 if avoided else None  # enough for one that is not to be avoided
        question = functools.partial(self._next, channel.service, count, request_id)
        stale = channel.stale_workers
        if len(stale):
            limit_s = min(timeouts.LOOKUP_TURN_S, deadline.left_s / 2)
            if stale.away(time.monotonic()):
                return stale.in_turn()
            outcome = await outcome_of(question(limit_s))
            if isinstance(outcome, Failure) and outcome.trouble is Trouble.NO_LOOKUP:
                stale.missed(time.monotonic())
                return stale.in_turn()
            workers = None if isinstance(outcome, Failure) else outcome
        else:
            workers = None
        workers = workers or await self.ask(question, deadline, channel.changed, tries=tries)
        if workers is not None and not channel.known:
            stale.named(workers, time.monotonic())
        return workers

    async def _next(self, service: str | None, count: int | None, request_id: str, limit_s: float) -> list[Worker]:
        with Identified(request_id):
            return await self._source.next(service, count=count, limit_s=limit_s)

    async def ask(self, question: Question[T], deadline: Deadline, pause: Pause, *, tries: int) -> T | None:
        """The lookup service's answer; it is asked again if it has no worker to give or is away. Raises P2PError.

        None if a pause says that there is no need to ask any more. `tries` questions fit before the deadline.
        """
        failures: list[Failure] = []
        began_s = deadline.spent_s
        while True:
            limit_s = retry_policy.lookup_limit_s(deadline.left_s, failures=len(failures), attempts=tries)
            outcome = await outcome_of(question(limit_s))
            if not isinstance(outcome, Failure):
                self._reached = True
                return outcome
            failures.append(outcome)
            self._reached = self._reached or outcome.error.status is not None
            wait_s = retry_policy.decide(
                outcome.trouble,
                failures=len(failures),
                attempts=tries,
                left_s=deadline.left_s,
                draw=random.random(),
                retry_after_s=outcome.retry_after_s,
                waited_s=deadline.spent_s - began_s,
                reached=self._reached,
            )
            if wait_s is None:
                error = final(failures)
                error.lookups = len(failures)
                raise error
            if await pause(wait_s):
                return None

    async def answer(self, question: Question[T], deadline: Deadline, *, tries: int) -> T:
        """The lookup service's answer, waited for; raises P2PError."""
        answer = await self.ask(question, deadline, self._pauses.sleep, tries=tries)
        assert answer is not None, "nothing ends a mere sleep"
        return answer
