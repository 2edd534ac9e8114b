"""From the line to the engine and back: one batch at a time on all cores, or one on each of several streams.

As many threads as there are streams (one, without) run one batch after the other. Where full batches wait, each
thread has its next one at hand before it needs it, and never waits for the event loop; for an engine that leaves the
cores free it is made one array meanwhile. An image that makes a batch fail is found by running that batch's images
one by one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from worker.batching.core_scheduler import Turn, Turns
from worker.batching.padding import assemble
from worker.batching.policy import Next, Pace, gather_s, next_run, slowdown
from worker.batching.queue import Image, Line, Scores, Waiting, refuse_closing
from worker.errors import WorkerError
from worker.system.loop_threads import Hands
from worker.telemetry.metrics import ModelMetrics

logger = logging.getLogger(__name__)

Predict = Callable[[Sequence[Image]], Scores]

NOTHING: Scores = np.empty((0, 0), np.float32)

STUCK_AFTER_S = 30.0
"""A single batch that takes longer than this means that the engine hangs."""


class _Ran(NamedTuple):
    """What a thread tells of a batch: the scores of those who still wanted some, and its time, monotonic."""

    members: list[Waiting]
    scores: Scores
    began_s: float
    ended_s: float


class Lanes:
    """What takes batches from `line`; the rest as for `Batcher`. Use as an async context manager.

    coming: how many requests are being received or decoded; depth: how many images wait, encoded or decoded
    ended:  called after each batch
    """

    def __init__(
        self,
        line: Line,
        *,
        predict: Predict,
        stream: Predict | None,
        pace: Pace,
        sizes: Sequence[int],
        ahead: bool,
        turns: Turns,
        numbers: ModelMetrics,
        coming: Callable[[], int],
        depth: Callable[[], int],
        ended: Callable[[], None],
    ) -> None:
        self.slower = 1.0
        self._line = line
        self._predict = predict
        self._stream = stream or predict
        self._pace = pace
        self._sizes = sizes
        self._turns = turns
        self._numbers = numbers
        self._coming = coming
        self._depth = depth
        self._ended = ended
        self._count = pace.streams.count if pace.streams else 1
        self.running = 0  # images that are being predicted, or are next
        self._given: dict[int, float] = {}  # since when the threads have each batch
        self._held: deque[Turn] = deque()
        self._asking = 0
        self._freed_s: deque[float] = deque(maxlen=self._count)  # since when a thread was free though there was work
        self._arrived = asyncio.Event()
        self._idle: deque[asyncio.Future[None]] = deque()
        self._threads = Hands(self._count, name="predict")
        self._assembling = ThreadPoolExecutor(1, thread_name_prefix="assemble") if ahead else None
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Lanes:
        # One for each batch that runs, and one for each that is next.
        self._tasks = [asyncio.create_task(self._run(), name=f"batches {each}") for each in range(2 * self._count)]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Ends at once: what runs is not waited for."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._threads.close()
        if self._assembling is not None:
            self._assembling.shutdown(wait=False, cancel_futures=True)

    @property
    def moving(self) -> bool:
        """Whether predictions get done: False when one batch has been running far too long."""
        now_s = time.monotonic()
        return all(now_s - since_s < STUCK_AFTER_S for since_s in self._given.values())

    def arrived(self) -> None:
        """The line is longer, or nobody else is on the way."""
        self._arrived.set()
        if self._line:
            self._wake()

    def emptied(self) -> None:
        """No work is left: the time until there is some again is nobody's."""
        self._freed_s.clear()

    async def _run(self) -> None:
        """One batch after the other, beside those of the other tasks."""
        just_finished = False
        while True:
            if self._line and len(self._held) + self._asking < self._count:
                turn = await self._turn(just_finished=just_finished)
            elif self._line and self._next_is_full() and self._turns.again(self._held[0]):
                turn = self._held[0]
                self._held.rotate(-1)
            else:
                just_finished = False
                await self._work()
                continue
            try:
                just_finished = await self._next_batch(turn)
            finally:
                if len(self._given) < len(self._held):
                    self._turns.give_back(self._held.popleft())
            self._ended()

    async def _turn(self, *, just_finished: bool) -> Turn:
        self._asking += 1
        try:
            await self._gather(just_finished=just_finished)
            turn = await self._turns.take(1 if self._pace.streams else None)
        finally:
            self._asking -= 1
        self._held.append(turn)
        return turn

    def _next_is_full(self) -> bool:
        """Whether all threads are busy, one has no next batch yet, and nobody could join the one that waits."""
        cap = self._pace.streams.each.cap if self._pace.streams else self._pace.cap
        return self._all_busy and len(self._given) < 2 * self._count and len(self._line) >= cap

    @property
    def _all_busy(self) -> bool:
        return len(self._given) >= self._count

    async def _work(self) -> None:
        """Wait until there is some."""
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._idle.append(woken)
        await woken

    def _wake(self) -> None:
        """Let a task that is idle look at the line."""
        while self._idle:
            woken = self._idle.popleft()
            if not woken.done():
                woken.set_result(None)
                return

    async def _next_batch(self, turn: Turn) -> bool:
        """Run what is next, and follow how long it really takes; False where nobody is left who wants an answer."""
        if not self._line:
            return False
        run = self._chosen(turn)
        members = self._line.take(run.images)
        if self._line:
            self._wake()
        if not members:
            return False
        ready = None
        if self._assembling is not None and self._all_busy:
            ready = self._assembling.submit(assemble, [waiting.image for waiting in members], self._sizes)
        await self._answer(members, run, ready)
        return True

    def _chosen(self, turn: Turn) -> Next:
        """What is to run, on the cores that the turn has or could have."""
        seen = {"queued": len(self._line), "coming": self._coming()}
        run = next_run(self._pace, running=len(self._given), sizes=self._sizes, **seen)
        if self._pace.streams is None or run.stream or self._turns.widen(turn):
            return run
        return next_run(self._pace, running=1, sizes=self._sizes, **seen)

    async def _gather(self, *, just_finished: bool) -> None:
        """Wait a moment for those on their way."""
        queued = len(self._line)
        wait_s = gather_s(self._pace, queued=queued, coming=self._coming(), just_finished=just_finished)
        if not wait_s:
            return
        until_s = time.monotonic() + wait_s
        while self._coming() and len(self._line) < self._pace.cap and (left_s := until_s - time.monotonic()) > 0:
            self._arrived.clear()
            try:
                async with asyncio.timeout(left_s):  # wait_for could swallow the cancellation that ends the loop
                    await self._arrived.wait()
            except TimeoutError:
                return

    async def _answer(self, members: list[Waiting], run: Next, ready: Future[Sequence[Image]] | None = None) -> None:
        try:
            ran = await self._call(members, run, ready)
        except asyncio.CancelledError:
            refuse_closing(members)
            raise
        except Exception as error:
            await self._one_by_one(members, run, error)
            return
        for waiting, row in zip(ran.members, ran.scores, strict=True):
            if not waiting.answer.done():
                waiting.answer.set_result(row)
        if len(ran.members) < len(members):
            self._line.refuse_late(members)
        if ran.members:  # after the answers are on their way
            asyncio.get_running_loop().call_soon(self._follow, ran, run)

    async def _one_by_one(self, members: list[Waiting], run: Next, error: Exception) -> None:
        """After a batch failed: whose fault was it? Only that one fails."""
        if len(members) == 1:
            logger.error("A prediction failed.", exc_info=error)
            members[0].fail(WorkerError("The model could not predict this image; the worker's log says why."))
            return
        for waiting in members:
            if not waiting.answer.done():
                await self._answer([waiting], run)

    async def _call(self, members: list[Waiting], run: Next, ready: Future[Sequence[Image]] | None) -> _Ran:
        predict = self._stream if run.stream else self._predict
        self._given[id(members)] = time.monotonic()
        self.running += len(members)
        try:
            return await self._threads.do(self._ran, predict, members, ready)
        finally:
            self.running -= len(members)
            del self._given[id(members)]

    def _ran(self, predict: Predict, batch: list[Waiting], ready: Future[Sequence[Image]] | None) -> _Ran:
        """In the thread: the engine's answers, one an image, for those who want one when it begins."""
        began_s = time.monotonic()
        members = [waiting for waiting in batch if waiting.wanted(began_s)]
        if not members:
            return _Ran([], NOTHING, began_s, began_s)
        images = [waiting.image for waiting in members]
        if ready is not None and len(members) == len(batch):
            scores = predict(ready.result())
        else:
            scores = predict(assemble(images, self._sizes) if self._sizes else images)
        if len(scores) < len(images) or (not self._sizes and len(scores) != len(images)):
            raise WorkerError(f"The model gave {len(scores)} results for {len(images)} images.")
        return _Ran(members, scores[: len(images)], began_s, time.monotonic())

    def _follow(self, ran: _Ran, run: Next) -> None:
        """Count a batch, and how long it took from when its thread was free, which may have waited for images."""
        for waiting in ran.members:
            self._numbers.took("queue", ran.began_s - waiting.since_s)
        self._numbers.batch(len(ran.members), took_s=ran.ended_s - ran.began_s)
        free_s = max((freed_s for freed_s in self._freed_s if freed_s <= ran.began_s), default=None)
        if free_s is not None:
            self._freed_s.remove(free_s)
        pace = self._pace.streams.each if run.stream and self._pace.streams else self._pace
        took_s = ran.ended_s - (ran.began_s if free_s is None else free_s)
        self.slower = slowdown(self.slower, pace, images=len(ran.members), took_s=took_s)
        if self._depth() or self._all_busy:
            self._freed_s.append(ran.ended_s)
        else:
            self.emptied()
