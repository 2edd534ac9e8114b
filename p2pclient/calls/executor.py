"""A call from end to end: a worker is found, asked, and another one asked where that helps.

The decisions are in `retry`, `balance`, `budget` and `hedge`, the exchanges in `lookup`, `consul` and `post`;
what is here is their order, and the clock: every wait and every exchange is cut to what is left of the one
time the call was given.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from p2pclient.calls.call_state import Clock, Course, final
from p2pclient.calls.service_channel import Route
from p2pclient.calls.worker_finder import Finding, outcome_of
from p2pclient.discovery.base import Source
from p2pclient.retrying import retry_policy
from p2pclient.retrying.retry_budget import Budget
from p2pclient.retrying.retry_policy import Failure, Trouble
from p2pclient.transport.http import Limit
from p2pclient.types import Worker

T = TypeVar("T")

Work = Callable[[Worker, Limit], Coroutine[Any, Any, T]]
"""Ask a worker, within a limit; raises Failure."""

NO_BUDGET_S = 0.1
"""How long a call that may not try again yet waits before it asks whether it may now."""


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """An answer, the worker that gave it, and how many were asked."""

    value: T
    worker: Worker
    attempts: int


class Calls:
    """Calls to the services that `source` knows, at most `attempts` burdened workers each.

    `hedge`: an answer that is late is asked of a second worker, too.
    """

    def __init__(self, source: Source, *, attempts: int, hedge: bool) -> None:
        self._attempts = attempts
        self._hedge = hedge
        self._budget = Budget()
        self._finding = Finding(source, self._budget, attempts=attempts)
        self.ask = self._finding.ask

    async def call(self, work: Work[T], route: Route, service: str | None, clock: Clock) -> Done[T]:
        """Ask one worker after another until one answers or `retry.decide` says that it is enough."""
        course = Course(clock)
        self._budget.request(time.monotonic())
        while True:
            worker = None if route.deserted else route.pick(course.tried, time.monotonic())
            if worker is None:
                worker = await self._finding.find(route, service, course)
            course.asked += 1
            limit = self._limit(route, course)
            late_s = self._late_s(route, course)
            if late_s is not None:
                worker, outcome = await self._raced(work, route, service, worker, limit, course, late_s)
            else:
                outcome = await _try(work, route, worker, limit)
            if not isinstance(outcome, Failure):
                return Done(outcome, worker, course.asked)
            if course.paid and course.hangs and outcome.trouble is Trouble.FAILED:
                outcome.trouble = Trouble.HUNG
            course.note(worker, outcome)
            await self._go_on(route, course)

    def _limit(self, route: Route, course: Course) -> Limit:
        """What is left; and a time after which the attempt is given up once the budget has another one."""
        left_s = course.clock.left_s
        course.paid = False
        others = not route.known or len(route.workers) > len(course.tried) + 1
        usual_s = route.hedge.delay_s() if others else None
        last = course.count(Trouble.GONE, Trouble.FAILED) + 1 >= self._attempts
        soft_s = retry_policy.attempt_limit_s(left_s, last=last, usual_s=usual_s)
        if soft_s == left_s:
            return Limit(left_s)
        course.hangs = soft_s < left_s / 2

        def leave() -> bool:
            course.paid = self._budget.take(time.monotonic())
            return course.paid

        return Limit(left_s, soft_s, leave)

    def _late_s(self, route: Route, course: Course) -> float | None:
        """When a second worker is to be asked beside the first one; None: never."""
        usual_s = route.hedge.delay_s()
        if course.hedged or not course.nobody_yet or (usual_s is not None and not self._hedge):
            return None
        late_s = retry_policy.first_late_s(route.hedge.longest_s) if usual_s is None else usual_s
        return late_s if late_s < course.clock.left_s / 2 else None  # else it is given up for another one by then

    async def _go_on(self, route: Route, course: Course) -> None:
        """Wait before the next attempt, or raise the last failure's error if there is to be none."""
        trouble = course.failures[-1].trouble
        alike = (Trouble.GONE, Trouble.FAILED) if trouble in (Trouble.GONE, Trouble.FAILED) else (trouble,)
        wait_s = retry_policy.decide(
            trouble,
            failures=course.count(*alike),
            attempts=self._attempts,
            left_s=course.clock.left_s,
            draw=random.random(),
            waited_s=course.clock.spent_s,
            reached=route.reached,
        )
        if wait_s is None:
            raise final(course.failures)
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        if trouble is not Trouble.REFUSED and not course.paid:
            await self._pay(course)

    async def _pay(self, course: Course) -> None:
        """Take an attempt from the budget, or wait for it to have one: late is better than never."""
        while not self._budget.take(time.monotonic()):
            wait_s = NO_BUDGET_S * (0.5 + random.random())
            if not retry_policy.fits(wait_s, course.clock.left_s):
                raise final(course.failures)
            await asyncio.sleep(wait_s)

    async def _raced(
        self,
        work: Work[T],
        route: Route,
        service: str | None,
        worker: Worker,
        limit: Limit,
        course: Course,
        late_s: float,
    ) -> tuple[Worker, T | Failure]:
        """An attempt and, if its answer is late and the budget has one to spare, a second one beside it."""
        racing = {asyncio.create_task(_try(work, route, worker, limit)): worker}
        try:
            done, _ = await asyncio.wait(racing, timeout=late_s)
            second = None if done else await self._finding.another(route, service, {**course.tried, worker: 0.0})
            if second is not None and self._budget.take(time.monotonic()):
                course.hedged = True
                course.asked += 1
                racing[asyncio.create_task(_try(work, route, second, Limit(course.clock.left_s)))] = second
            while True:
                done, _ = await asyncio.wait(racing, return_when=asyncio.FIRST_COMPLETED)
                task = done.pop()
                worker, outcome = racing.pop(task), task.result()
                if not racing or not isinstance(outcome, Failure) or outcome.trouble is Trouble.FINAL:
                    return worker, outcome
                course.note(worker, outcome)
        finally:
            for task in racing:
                task.cancel()
            await asyncio.gather(*racing, return_exceptions=True)


async def _try(work: Work[T], route: Route, worker: Worker, limit: Limit) -> T | Failure:
    """One attempt, its failure as a value, counted with the worker that it burdened."""
    began_s = time.monotonic()
    route.began(worker, began_s)
    try:
        outcome = await outcome_of(work(worker, limit))
    except BaseException:
        route.abandoned(worker, began_s)
        raise
    route.ended(worker, began_s, outcome if isinstance(outcome, Failure) else None)
    return outcome
