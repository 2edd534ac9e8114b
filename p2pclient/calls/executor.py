"""Executes calls: does what a call's state says, attempt by attempt, within the one time that the call was given.

The states and their transitions are `call_state`'s, the decisions `retrying`'s and `balancing`'s, the exchanges
`transport`'s; here are tasks and timers. A call has one race, which can be repeated: an attempt runs, and when it is
late another worker is asked beside it, by the same rule. The first answer counts, and the others are cancelled.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from p2pclient import timeouts
from p2pclient.calls.call_state import Answered, CallState, State
from p2pclient.calls.deadline import Deadline
from p2pclient.calls.pauses import Pauses
from p2pclient.calls.race import Race
from p2pclient.calls.service_channel import ServiceChannel
from p2pclient.calls.worker_finder import WorkerFinder
from p2pclient.discovery.base import WorkerSource
from p2pclient.errors import P2PError
from p2pclient.failures import Failure, Trouble, without_frames
from p2pclient.retrying import retry_policy
from p2pclient.retrying.retry_budget import RetryBudget
from p2pclient.transport.request_id import Identified, RequestIds
from p2pclient.types import Worker

if TYPE_CHECKING:
    from p2pclient.tracing.call_spans import CallTracing

T = TypeVar("T")

Ask = Callable[[Worker, float], Coroutine[Any, Any, T]]
"""Ask a worker, within so many seconds; raises Failure."""

logger = logging.getLogger("p2pclient")
"""DEBUG: which worker is asked; INFO: why a call asks another one."""


class CallExecutor:
    """Calls to the services that `source` knows, all within one retry budget; `tracing` makes spans of them."""

    def __init__(self, source: WorkerSource, pauses: Pauses, tracing: CallTracing | None = None) -> None:
        self._tracing = tracing
        self.budget = RetryBudget()
        self._request_ids = RequestIds()
        self.pauses = pauses
        self.finder = WorkerFinder(source, self.budget, pauses)

    def call(
        self,
        ask: Ask[T],
        channel: ServiceChannel,
        deadline: Deadline,
        *,
        attempts: int,
        hedge: bool,
    ) -> Coroutine[Any, Any, Answered[T]]:
        """The first answer to `ask`, of whichever worker; raises P2PError by the deadline."""
        self.budget.request(time.monotonic())
        request_id = self._request_ids.new()
        call = _Call(self, ask, channel, deadline, CallState(attempts, hedge, request_id)).run()
        if self._tracing is None:
            return call
        return self._tracing.traced(call, request_id=request_id, service=channel.service)


class _Call(Generic[T]):
    """One call under way: its state, and the means to go on."""

    __slots__ = ("_ask", "_budget", "_channel", "_deadline", "_finder", "_pauses", "_state")

    def __init__(
        self,
        executor: CallExecutor,
        ask: Ask[T],
        channel: ServiceChannel,
        deadline: Deadline,
        state: CallState[T],
    ) -> None:
        self._budget = executor.budget
        self._finder = executor.finder
        self._pauses = executor.pauses
        self._ask = ask
        self._channel = channel
        self._deadline = deadline
        self._state = state

    async def run(self) -> Answered[T]:
        state = self._state
        try:
            while state.answer is None:
                if state.state is State.FINDING:
                    await self._race(self._picked() or await self._found())
                elif state.state is State.PAUSING:
                    await self._pause()
                else:
                    raise state.error()
            return state.answer
        except P2PError as error:
            error.request_id = state.request_id
            raise

    def _picked(self) -> Worker | None:
        """The worker for the next attempt, if the subscription has one."""
        channel = self._channel
        return None if channel.all_refuse else channel.pick(self._state.tried, time.monotonic())

    async def _found(self) -> Worker:
        """The worker for the next attempt, waited for."""
        try:
            return await self._finder.find(self._channel, self._state, self._deadline)
        except P2PError as error:
            error.attempts = self._state.made
            raise

    async def _race(self, worker: Worker) -> None:
        """Ask this worker and, when it is late, others beside it, until the call is over or none is under way."""
        state = self._state
        state.begun(worker)
        others = self._others
        late_s = self._late_after_s(others=others)
        if late_s is None:
            await self._attempt(worker)
            return
        race = Race(state, lambda: self._beside(others=others))
        await race.run(self._attempt(worker), late_s)

    async def _beside(self, *, others: bool) -> None:
        """Ask one more worker, and another one if that fails, while those that are late are under way."""
        state = self._state
        permitted = False
        while state.asking():
            worker = await self._another(others=others)
            if worker is None or not (permitted or await self._permitted()):
                return
            late = ", ".join(worker.address for worker in state.under_way)
            logger.info("%s: no answer of %s yet: %s is asked, too", worker.service, late, worker.address)
            await self._race(worker)
            if not state.asking():
                return
            permitted = state.failures[-1].trouble is Trouble.REFUSED  # which has burdened no worker
            if not permitted:
                others = self._others
                late_s = self._late_after_s(others=others)
                if late_s is None:
                    return
                await self._pauses.sleep(late_s)

    async def _another(self, *, others: bool) -> Worker | None:
        """A worker that the call has not asked or, after half of the time that is left, the one under way again."""
        channel, state = self._channel, self._state
        worker = await self._finder.another(channel, state.avoided, request_id=state.request_id)
        if worker is None and others:  # it had seemed as if there were one
            late_s = self._late_after_s(others=False)
            if late_s is None:
                return None
            await self._pauses.sleep(late_s)
            worker = await self._finder.another(channel, state.avoided, request_id=state.request_id)
        return worker or next(iter(state.under_way), None)

    async def _attempt(self, worker: Worker) -> None:
        """One attempt, from which the state goes on."""
        channel, state = self._channel, self._state
        usual_s, began_s = channel.quantile.usual_s(), time.monotonic()
        channel.began(worker, began_s)
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("%s: %s is asked (attempt %d)", worker.service, worker.address, state.made)
        try:
            with Identified(state.request_id):
                outcome = await self._ask(worker, self._deadline.left_s)
        except Failure as failure:
            self._failed(worker, began_s, without_frames(failure))
            return
        except BaseException:
            state.abandoned(worker)
            channel.abandoned(worker, began_s, hung=self._outrun(usual_s, began_s))
            raise
        channel.answered(worker, began_s)
        state.answered(worker, outcome)

    def _failed(self, worker: Worker, began_s: float, failure: Failure) -> None:
        channel, state = self._channel, self._state
        channel.failed(worker, began_s, failure)
        spent_s, left_s = self._deadline.spent_s, self._deadline.left_s
        state.failed(worker, failure, spent_s=spent_s, left_s=left_s, reached=channel.reached, draw=random.random())
        if state.state is State.PAUSING and logger.isEnabledFor(logging.INFO):
            logger.info("%s: %s; another attempt in %.2f s", worker.service, failure.error.args[0], state.pause_s)

    def _outrun(self, usual_s: float | None, began_s: float) -> bool:
        """Whether another worker has answered while this attempt took so long that its worker hangs, most likely."""
        if self._state.answer is None or usual_s is None:
            return False
        return time.monotonic() - began_s >= retry_policy.hung_after_s(usual_s)

    async def _pause(self) -> None:
        """Wait before the next attempt: its backoff, and a permit of the budget."""
        state = self._state
        if state.pause_s > 0:
            await self._pauses.sleep(state.pause_s)
        if not state.permit or await self._permitted():
            state.paused()
        else:
            state.out_of_time()

    async def _permitted(self) -> bool:
        """Take an attempt from the budget, or wait for it to have one: late is better than never."""
        while not self._budget.take(time.monotonic()):
            wait_s = timeouts.BUDGET_S * (0.5 + random.random())
            if not retry_policy.fits(wait_s, self._deadline.left_s):
                return False
            await self._pauses.sleep(wait_s)
        return True

    @property
    def _others(self) -> bool:
        """Whether there may be a worker that the call has not asked."""
        channel, state = self._channel, self._state
        if not channel.known:
            return True
        asked = len(state.avoided) if state.tried else len(state.under_way)
        return len(channel.workers) > asked

    def _late_after_s(self, *, others: bool) -> float | None:
        quantile = self._channel.quantile
        return self._state.late_after_s(self._deadline.left_s, others, quantile.usual_s(), quantile.longest_s)
