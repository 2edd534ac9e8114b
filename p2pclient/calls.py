"""A call from end to end: a worker is found, asked, and another one asked where that helps.

The decisions are in `retry`, `balance`, `budget` and `hedge`, the exchanges in `lookup`, `consul` and `post`;
what is here is their order, and the clock: every wait and every exchange is cut to what is left of the one
time the call was given.
"""

from __future__ import annotations

import asyncio
import functools
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from p2pclient import retry
from p2pclient.budget import Budget
from p2pclient.errors import P2PError
from p2pclient.retry import Failure, Trouble
from p2pclient.route import Route
from p2pclient.source import Source
from p2pclient.types import Worker
from p2pclient.wire import Limit, without_frames

T = TypeVar("T")

Work = Callable[[Worker, Limit], Coroutine[Any, Any, T]]
"""Ask a worker, within a limit; raises Failure."""

Question = Callable[[float], Coroutine[Any, Any, T]]
"""Ask the lookup service, within so many seconds; raises Failure."""

Pause = Callable[[float], Awaitable[bool]]
"""Wait so many seconds; True, and earlier, if there is no need to wait for."""

NO_BUDGET_S = 0.1
"""How long a call that may not try again yet waits before it asks whether it may now."""


class Clock:
    """The time of one call: what is spent and what is left of it, in seconds."""

    __slots__ = ("_began_s", "_total_s")

    def __init__(self, total_s: float) -> None:
        self._began_s = time.monotonic()
        self._total_s = total_s

    @property
    def spent_s(self) -> float:
        """Since the call began."""
        return time.monotonic() - self._began_s

    @property
    def left_s(self) -> float:
        """Until its deadline."""
        return self._total_s - self.spent_s


@dataclass(slots=True)
class Course:
    """What one call has tried: `tried` maps workers to when, by its clock, they may be asked again.

    `paid`: another attempt has been taken from the budget and not been made yet; `hangs`: if so, because the
    worker seemed to hang. `hedges` counts attempts that were made beside another one.
    """

    clock: Clock
    tried: dict[Worker, float] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    paid: bool = False
    hangs: bool = False
    hedges: int = 0

    def count(self, *troubles: Trouble) -> int:
        """How many tries came to such an end."""
        return 0 if not self.failures else sum(failure.trouble in troubles for failure in self.failures)

    def note(self, worker: Worker, failure: Failure) -> None:
        """A try came to nothing; a worker that was not there, too, is left alone for a while."""
        self.failures.append(failure)
        hold_s = failure.retry_after_s
        if failure.trouble is Trouble.REFUSED:
            hold_s = max(hold_s, retry.backoff_s(self.count(Trouble.REFUSED), random.random()))
        self.tried[worker] = self.clock.spent_s + hold_s


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
        self._source = source
        self._attempts = attempts
        self._hedge = hedge
        self._budget = Budget()
        self._reached = False

    async def call(self, work: Work[T], route: Route, service: str | None, clock: Clock) -> Done[T]:
        """Ask one worker after another until one answers or `retry.decide` says that it is enough."""
        course = Course(clock)
        self._budget.request(time.monotonic())
        while True:
            worker = route.pick(course.tried, time.monotonic())
            if worker is None:
                worker = await self._find(route, service, course)
            limit = self._limit(route, course)
            if self._hedge and not course.failures:
                worker, outcome = await self._raced(work, route, worker, limit, course)
            else:
                outcome = await _try(work, route, worker, limit)
            if not isinstance(outcome, Failure):
                return Done(outcome, worker, len(course.failures) + course.hedges + 1)
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
        soft_s = retry.attempt_limit_s(left_s, last=last, usual_s=usual_s)
        if soft_s == left_s:
            return Limit(left_s)
        course.hangs = soft_s < left_s / 2

        def leave() -> bool:
            course.paid = self._budget.take(time.monotonic())
            return course.paid

        return Limit(left_s, soft_s, leave)

    async def _go_on(self, route: Route, course: Course) -> None:
        """Wait before the next attempt, or raise the last failure's error if there is to be none."""
        trouble = course.failures[-1].trouble
        alike = (Trouble.GONE, Trouble.FAILED) if trouble in (Trouble.GONE, Trouble.FAILED) else (trouble,)
        wait_s = retry.decide(
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
            if not retry.fits(wait_s, course.clock.left_s):
                raise final(course.failures)
            await asyncio.sleep(wait_s)

    async def _raced(
        self, work: Work[T], route: Route, worker: Worker, limit: Limit, course: Course
    ) -> tuple[Worker, T | Failure]:
        """A first attempt and, if its answer is late and the budget has one to spare, a second one beside it."""
        racing = {asyncio.create_task(_try(work, route, worker, limit)): worker}
        try:
            late_s = route.hedge.delay_s()
            done, _ = await asyncio.wait(racing, timeout=late_s)
            second = None if done else route.pick({*course.tried, worker}, time.monotonic())
            if second is not None and self._budget.take(time.monotonic()):
                course.hedges += 1
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

    async def _find(self, route: Route, service: str | None, course: Course) -> Worker:
        """A worker where the subscription has none at hand: it is new, has lost all, or all were tried."""
        clock = course.clock
        await route.subscribed(min(retry.SUBSCRIBE_S, clock.left_s / 2))
        while True:
            worker = route.pick(course.tried, time.monotonic())
            if worker is not None:
                return worker
            avoided = route.gone() | course.tried
            count = len(avoided) + 1 if avoided else None  # enough for one that is not to be avoided
            workers: Sequence[Worker] | None = route.workers
            if not workers:
                question = functools.partial(self._next, service, count)
                workers = await self.ask(question, clock, route.changed)
            if workers is None:
                continue  # the subscription has a new list
            worker, free_at_s = retry.choose(workers, avoided)
            hold_s = free_at_s - clock.spent_s
            if hold_s <= 0:
                return worker
            if not retry.fits(hold_s, clock.left_s):
                raise final(course.failures)
            if not await route.changed(hold_s):
                return worker

    def _next(self, service: str | None, count: int | None, limit_s: float) -> Coroutine[Any, Any, list[Worker]]:
        return self._source.next(service, count=count, limit_s=limit_s)

    async def ask(self, question: Question[T], clock: Clock, pause: Pause) -> T | None:
        """Ask the lookup service, again and again if it has nobody to give or is away.

        None if a pause says that there is no need to any more.
        """
        failures: list[Failure] = []
        began_s = clock.spent_s
        while True:
            limit_s = retry.lookup_limit_s(clock.left_s, failures=len(failures), attempts=self._attempts)
            outcome = await _outcome(question(limit_s))
            if not isinstance(outcome, Failure):
                self._reached = True
                return outcome
            failures.append(outcome)
            self._reached = self._reached or outcome.error.status is not None
            wait_s = retry.decide(
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


async def _try(work: Work[T], route: Route, worker: Worker, limit: Limit) -> T | Failure:
    """One attempt, its failure as a value, counted with the worker that it burdened."""
    began_s = time.monotonic()
    route.began(worker, began_s)
    try:
        outcome = await _outcome(work(worker, limit))
    except BaseException:
        route.abandoned(worker, began_s)
        raise
    route.ended(worker, began_s, outcome if isinstance(outcome, Failure) else None)
    return outcome


async def _outcome(work: Coroutine[Any, Any, T]) -> T | Failure:
    """A failure as a value, which a call may keep: without the frames that refer to the call."""
    try:
        return await work
    except Failure as failure:
        return without_frames(failure)


def final(failures: list[Failure]) -> P2PError:
    """The error of the last failure, with the number of tries that were made; its cause stays with it."""
    error = failures[-1].error
    error.attempts = len(failures)
    error.__cause__ = failures[-1].__cause__
    return error
