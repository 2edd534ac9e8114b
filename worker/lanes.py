"""From the line to the engine and back: one batch at a time on all cores, or one on each of several streams.

Each lane is a task with a thread of its own that runs one batch after the other; an engine without streams has one
lane. An image that makes a batch fail is found by running that batch's images one by one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from worker.assembly import assemble
from worker.batching import Next, Pace, gather_s, next_run, slowdown
from worker.errors import WorkerError
from worker.line import Batch, Image, Line, Scores, Waiting
from worker.metrics import ModelNumbers
from worker.turns import Turn, Turns

logger = logging.getLogger(__name__)

Predict = Callable[[Sequence[Image]], Scores]

STUCK_AFTER_S = 30.0
"""A single batch that takes longer than this means that the engine hangs."""


class _Running(NamedTuple):
    """A batch that is being predicted: how many images, since which monotonic time."""

    images: int
    since_s: float


class Lanes:
    """What takes batches from `line`; `predict`, `stream`, `turns` as for `Batcher`. Use as an async context manager.

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
        turns: Turns,
        numbers: ModelNumbers,
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
        self._running: dict[int, _Running] = {}
        self._busy_since_s: dict[int, float] = {}
        self._arrived = asyncio.Event()
        self._idle: deque[asyncio.Future[None]] = deque()
        self._threads = ThreadPoolExecutor(self._count, thread_name_prefix="predict")
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Lanes:
        self._tasks = [asyncio.create_task(self._run(lane), name=f"batches {lane}") for lane in range(self._count)]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Ends at once: what runs is not waited for."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    @property
    def running(self) -> int:
        """Images that are being predicted."""
        return sum(running.images for running in self._running.values())

    @property
    def moving(self) -> bool:
        """Whether predictions get done: False when one batch has been running far too long."""
        now_s = time.monotonic()
        return all(now_s - running.since_s < STUCK_AFTER_S for running in self._running.values())

    def arrived(self) -> None:
        """The line is longer, or nobody else is on the way."""
        self._arrived.set()
        if self._line:
            self._wake()

    def emptied(self) -> None:
        """No work is left: the time until there is some again is nobody's."""
        self._busy_since_s.clear()

    async def _run(self, lane: int) -> None:
        """One batch after the other, beside those of the other lanes."""
        just_finished = False
        while True:
            if not self._line:
                just_finished = False
                await self._work()
                continue
            await self._gather(just_finished=just_finished)
            turn = await self._turns.take(1 if self._pace.streams else None)
            try:
                just_finished = await self._next_batch(lane, turn)
            finally:
                self._turns.give_back(turn)
            # Where work is left, the next batch's time has begun already.
            if self._depth():
                self._busy_since_s[lane] = time.monotonic()
            else:
                self.emptied()
            self._ended()

    async def _work(self) -> None:
        """Wait until there is some for this lane."""
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._idle.append(woken)
        await woken

    def _wake(self) -> None:
        """Let one lane that is idle look at the line."""
        while self._idle:
            woken = self._idle.popleft()
            if not woken.done():
                woken.set_result(None)
                return

    async def _next_batch(self, lane: int, turn: Turn) -> bool:
        """Run what is next, and follow how long it really takes; False where nobody is left who wants an answer."""
        if not self._line:
            return False
        run = self._chosen(turn)
        batch = self._line.take(run.images)
        if self._line:
            self._wake()
        if not batch.members:
            return False
        since_s = self._busy_since_s.get(lane) or time.monotonic()
        await self._answer(lane, batch, run)
        pace = self._pace.streams.each if run.stream and self._pace.streams else self._pace
        took_s = time.monotonic() - since_s
        self.slower = slowdown(self.slower, pace, images=len(batch.members), took_s=took_s)
        return True

    def _chosen(self, turn: Turn) -> Next:
        """What this lane is to run, on the cores that it has or could have."""
        seen = {"queued": len(self._line), "coming": self._coming()}
        run = next_run(self._pace, running=len(self._running), sizes=self._sizes, **seen)
        if self._pace.streams is None or run.stream or self._turns.widen(turn):
            return run
        return next_run(self._pace, running=1, sizes=self._sizes, **seen)

    async def _gather(self, *, just_finished: bool) -> None:
        """Wait a moment for those on their way."""
        queued = len(self._line)
        wait_s = gather_s(self._pace, queued=queued, coming=self._coming(), just_finished=just_finished)
        until_s = time.monotonic() + wait_s
        while self._coming() and not self._line.full and (left_s := until_s - time.monotonic()) > 0:
            self._arrived.clear()
            try:
                async with asyncio.timeout(left_s):  # wait_for could swallow the cancellation that ends the loop
                    await self._arrived.wait()
            except TimeoutError:
                return

    async def _answer(self, lane: int, batch: Batch, run: Next) -> None:
        try:
            scores = await self._call(lane, batch, run)
        except asyncio.CancelledError:
            batch.closing()
            raise
        except Exception as error:
            await self._one_by_one(lane, batch.members, run, error)
            return
        for waiting, row in zip(batch.members, scores, strict=True):
            if not waiting.answer.done():
                waiting.answer.set_result(row)

    async def _one_by_one(self, lane: int, members: list[Waiting], run: Next, error: Exception) -> None:
        """After a batch failed: whose fault was it? Only that one fails."""
        if len(members) == 1:
            logger.error("A prediction failed.", exc_info=error)
            members[0].fail(WorkerError("The model could not predict this image; the worker's log says why."))
            return
        for waiting in members:
            if not waiting.answer.done():
                await self._answer(lane, Batch([waiting]), run)

    async def _call(self, lane: int, batch: Batch, run: Next) -> Scores:
        images = [waiting.image for waiting in batch.members]
        predict = self._stream if run.stream else self._predict
        began_s = time.monotonic()
        self._running[lane] = _Running(len(images), began_s)
        for waiting in batch.members:
            self._numbers.took("queue", began_s - waiting.since_s)
        try:
            loop = asyncio.get_running_loop()
            running = loop.run_in_executor(self._threads, self._scores, predict, images, batch.ready)
            self._line.assemble_ahead()
            return await running
        finally:
            self._numbers.batch(len(images), took_s=time.monotonic() - began_s)
            del self._running[lane]

    def _scores(self, predict: Predict, images: Sequence[Image], ready: Future[Sequence[Image]] | None) -> Scores:
        """In the thread: the engine's answers, one an image."""
        if ready is not None:
            scores = predict(ready.result())
        elif self._sizes:
            scores = predict(assemble(images, self._sizes))
        else:
            scores = predict(images)
        if len(scores) < len(images) or (not self._sizes and len(scores) != len(images)):
            raise WorkerError(f"The model gave {len(scores)} results for {len(images)} images.")
        return scores[: len(images)]
