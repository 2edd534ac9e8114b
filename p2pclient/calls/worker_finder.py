"""A worker for a call whose subscription has none at hand: it is new, has lost all, or all of it were tried.

The lookup service is asked, again and again if it has to be. If it is away, those that it named before do. And
where nobody accepts a connection, one call at a time finds out whether somebody is back.
"""

from __future__ import annotations

import asyncio
import functools
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from p2pclient.calls.call_state import Clock, Course, final
from p2pclient.calls.service_channel import Route
from p2pclient.discovery.base import Source
from p2pclient.retrying import retry_policy
from p2pclient.retrying.retry_budget import Budget
from p2pclient.retrying.retry_policy import Failure, Trouble
from p2pclient.transport.http import without_frames
from p2pclient.types import Worker

T = TypeVar("T")

Question = Callable[[float], Coroutine[Any, Any, T]]
"""Ask the lookup service, within so many seconds; raises Failure."""

Pause = Callable[[float], Awaitable[bool]]
"""Wait so many seconds; True, and earlier, if there is no need to wait for."""


class Finding:
    """Finds workers that `source` knows; what is tried in vain again is taken from `budget`."""

    def __init__(self, source: Source, budget: Budget, *, attempts: int) -> None:
        self._source = source
        self._budget = budget
        self._attempts = attempts
        self._reached = False

    async def find(self, route: Route, service: str | None, course: Course) -> Worker:
        """The worker to ask, waited for if need be; raises P2PError."""
        clock = course.clock
        await route.subscribed(min(retry_policy.SUBSCRIBE_S, clock.left_s / 2))
        while True:
            course.hear(route.news)
            worker = None if route.deserted else route.pick(course.tried, time.monotonic())
            if worker is not None:
                return worker
            avoided = route.gone() | course.tried
            workers: Sequence[Worker] | None = route.workers or await self._looked_up(route, service, avoided, clock)
            if workers is None:
                continue  # the subscription has a new list
            worker, free_at_s = retry_policy.choose(workers, avoided)
            if worker not in avoided and not route.deserted:
                return worker
            if not course.failures or course.failures[-1].trouble is Trouble.REFUSED:
                found = await self._probed(route, route.longest_gone(workers), course)
                if found is not None:
                    return found
                continue
            hold_s = free_at_s - clock.spent_s
            if hold_s <= 0:
                return worker
            if not retry_policy.fits(hold_s, clock.left_s):
                raise final(course.failures)
            if not await route.changed(hold_s):
                return worker

    async def another(self, route: Route, service: str | None, avoided: dict[Worker, float]) -> Worker | None:
        """A worker that is none of these, if there is one to be had without waiting."""
        worker = route.pick(avoided, time.monotonic())
        if worker is not None or route.known:
            return worker
        found = await outcome_of(self._source.next(service, count=len(avoided) + 1, limit_s=retry_policy.LOOKUP_TURN_S))
        if isinstance(found, Failure):
            return None
        return next((worker for worker in found if worker not in avoided), None)

    async def _probed(self, route: Route, worker: Worker, course: Course) -> Worker | None:
        """One that refused connections before, if this call is to find out now; None: look again who is there.

        Of all calls that wait, one tries every tenth of a second, within the budget; all go on once it has
        met with somebody.
        """
        now_s = time.monotonic()
        if (
            course.tried.get(worker, 0.0) <= course.clock.spent_s
            and route.may_probe(now_s)
            and self._budget.take(now_s)
        ):
            return worker
        wait_s = retry_policy.DESERTED_S * (0.5 + random.random())
        if not retry_policy.fits(wait_s, course.clock.left_s):
            if course.failures:
                raise final(course.failures)
            return worker  # it has to learn why
        await route.changed(wait_s)
        return None

    async def _looked_up(
        self, route: Route, service: str | None, avoided: dict[Worker, float], clock: Clock
    ) -> Sequence[Worker] | None:
        """Workers from the lookup service or, where it is away, those that it named before."""
        count = len(avoided) + 1 if avoided else None  # enough for one that is not to be avoided
        question = functools.partial(self._next, service, count)
        remembered = route.remembered
        if len(remembered):
            limit_s = min(retry_policy.LOOKUP_TURN_S, clock.left_s / 2)
            if remembered.away(time.monotonic()):
                return remembered.in_turn()
            outcome = await outcome_of(question(limit_s))
            if isinstance(outcome, Failure) and outcome.trouble is Trouble.NO_LOOKUP:
                remembered.missed(time.monotonic())
                return remembered.in_turn()
            workers = None if isinstance(outcome, Failure) else outcome
        else:
            workers = None
        workers = workers or await self.ask(question, clock, route.changed)
        if workers is not None and not route.known:
            remembered.named(workers, time.monotonic())
        return workers

    def _next(self, service: str | None, count: int | None, limit_s: float) -> Coroutine[Any, Any, list[Worker]]:
        return self._source.next(service, count=count, limit_s=limit_s)

    async def ask(self, question: Question[T], clock: Clock, pause: Pause) -> T | None:
        """Ask the lookup service, again and again if it has nobody to give or is away.

        None if a pause says that there is no need to any more.
        """
        failures: list[Failure] = []
        began_s = clock.spent_s
        while True:
            limit_s = retry_policy.lookup_limit_s(clock.left_s, failures=len(failures), attempts=self._attempts)
            outcome = await outcome_of(question(limit_s))
            if not isinstance(outcome, Failure):
                self._reached = True
                return outcome
            failures.append(outcome)
            self._reached = self._reached or outcome.error.status is not None
            wait_s = retry_policy.decide(
                outcome.trouble,
                failures=len(failures),
                attempts=self._attempts,
                left_s=clock.left_s,
                draw=random.random(),
                retry_after_s=outcome.retry_after_s,
                waited_s=clock.spent_s - began_s,
                reached=self._reached,
            )
            if wait_s is None:
                raise final(failures)
            if await pause(wait_s):
                return None


async def sleep(pause_s: float) -> bool:
    """A pause in which nothing can happen that would end it."""
    await asyncio.sleep(pause_s)
    return False


async def outcome_of(work: Coroutine[Any, Any, T]) -> T | Failure:
    """A failure as a value, which a call may keep: without the frames that refer to the call."""
    try:
        return await work
    except Failure as failure:
        return without_frames(failure)
