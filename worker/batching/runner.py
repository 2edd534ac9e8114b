"""Batches travel from the queue to the engine and their scores back: one on all cores, or one on each stream.

As many threads as there are streams (one without streams) run one batch after the other. While full batches wait, each
thread has its next batch in advance and does not wait for the event loop; for an engine that leaves the cores free,
that batch is made one array meanwhile. If a batch fails, its images run one by one, so that only the image that caused
the failure gets an error.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from registry.runtime.tasks.supervise import cancel_all, start_supervised
from worker.batching.core_scheduler import CoreScheduler, CoreSlot
from worker.batching.padding import assemble
from worker.batching.policy import NextBatch, Pace, next_batch, slowdown
from worker.batching.prediction import Predict, Result, predicted
from worker.batching.queue import Image, ImageQueue, QueuedImage, reject_closing, rows_of
from worker.errors import Busy, WorkerError
from worker.system.loop_threads import LoopThreads
from worker.telemetry.metrics import ModelMetrics
from worker.telemetry.request_stages import note_batch

logger = logging.getLogger(__name__)

Upload = Callable[[Sequence[Image]], Sequence[Image]]
"""Images of one size -> a batch for `Predict`, padded, which is on its way to the device."""

STUCK_AFTER_S = 30.0
"""A single batch that takes longer than this means that the engine hangs."""


class BatchRunner:
    """Runs the batches of `queue`; the other arguments as for `Batcher`. Use as an async context manager.

    coming: how many requests are being received or decoded; depth: how many images wait, encoded or decoded
    ended:  called after each batch
    """

    def __init__(
        self,
        queue: ImageQueue,
        *,
        predict: Predict,
        stream: Predict | None,
        pace: Pace,
        sizes: Sequence[int],
        upload: Upload | None,
        ahead: bool,
        scheduler: CoreScheduler,
        numbers: ModelMetrics,
        coming: Callable[[], int],
        depth: Callable[[], int],
        ended: Callable[[], None],
    ) -> None:
        self.slower = 1.0
        self.running = 0  # images that are being predicted, or that a thread has in advance
        self._queue = queue
        self._predict = predict
        self._stream = stream or predict
        self._pace = pace
        self._sizes = sizes
        self._assemble = upload or partial(assemble, sizes=sizes)
        self._scheduler = scheduler
        self._numbers = numbers
        self._coming = coming
        self._depth = depth
        self._ended = ended
        self._count = pace.streams.count if pace.streams else 1
        # Since when the threads have each batch; replaced, never changed, because other threads iterate over it.
        self._given: Mapping[int, float] = {}
        self._slots: deque[CoreSlot] = deque()
        self._acquiring = 0
        self._freed_s: deque[float] = deque(maxlen=self._count)  # since when a thread was free though images waited
        self._idle: deque[asyncio.Future[None]] = deque()
        self._threads = LoopThreads(self._count, name="predict")
        self._assembling = ThreadPoolExecutor(1, thread_name_prefix="assemble") if ahead else None
        self._tasks: list[asyncio.Task[None]] = []
        self._failing: frozenset[int] = frozenset()  # tasks whose last step ended with an unexpected error

    async def __aenter__(self) -> BatchRunner:
        # One task for each batch that runs, and one for each that a thread has in advance.
        names = range(2 * self._count)
        self._tasks = [start_supervised(f"batches {each}", partial(self._run_tracked, each)) for each in names]
        return self

    async def __aexit__(self, *_: object) -> None:
        """End at once, without waiting for the batches that run."""
        await cancel_all(*self._tasks)
        self._threads.close()
        if self._assembling is not None:
            self._assembling.shutdown(wait=False, cancel_futures=True)

    @property
    def moving(self) -> bool:
        """Whether predictions get done: False while a batch runs far too long, or every task fails. From any thread."""
        now_s = time.monotonic()
        stuck = any(now_s - since_s >= STUCK_AFTER_S for since_s in self._given.values())
        return not stuck and (not self._tasks or len(self._failing) < len(self._tasks))

    @property
    def idle(self) -> bool:
        """Whether nothing is being predicted, here or by others on the same cores."""
        return not self.running and self._scheduler.idle

    def arrived(self) -> None:
        """Images have been added to the queue."""
        if self._queue:
            self._wake()

    def emptied(self) -> None:
        """No images are left: the time until more arrive counts for no batch."""
        self._freed_s.clear()

    async def _run_tracked(self, number: int) -> None:
        """Run batches; an unexpected error counts until this task has run a batch again."""
        try:
            await self._run(number)
        except Exception:
            self._failing |= {number}
            raise

    async def _run(self, number: int) -> None:
        """Run one batch after the other; the other tasks do the same."""
        while True:
            if self._queue and len(self._slots) + self._acquiring < self._count:
                slot = await self._acquire()
            elif self._queue and self._next_is_full() and self._scheduler.renew(self._slots[0]):
                slot = self._slots[0]
                self._slots.rotate(-1)
            else:
                await self._wait_for_images()
                continue
            try:
                await self._next_batch(slot)
                self._failing -= {number}
            finally:
                if len(self._given) < len(self._slots):
                    self._scheduler.release(self._slots.popleft())
            self._ended()

    async def _acquire(self) -> CoreSlot:
        self._acquiring += 1
        try:
            slot = await self._scheduler.acquire(1 if self._pace.streams else None)
        finally:
            self._acquiring -= 1
        self._slots.append(slot)
        return slot

    def _next_is_full(self) -> bool:
        """Whether all threads are busy, one has no next batch yet, and the batch that waits cannot grow any more."""
        cap = self._pace.streams.each.cap if self._pace.streams else self._pace.cap
        return self._all_busy and len(self._given) < 2 * self._count and len(self._queue) >= cap

    @property
    def _all_busy(self) -> bool:
        return len(self._given) >= self._count

    async def _wait_for_images(self) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._idle.append(woken)
        await woken

    def _wake(self) -> None:
        """Let one idle task look at the queue."""
        while self._idle:
            woken = self._idle.popleft()
            if not woken.done():
                woken.set_result(None)
                return

    async def _next_batch(self, slot: CoreSlot) -> None:
        """Take the next batch and answer its images; nothing if no image is left whose deadline can be met."""
        if not self._queue:
            return
        batch = self._chosen(slot)
        members = self._queue.take(batch.images)
        if self._queue:
            self._wake()
        try:
            if members:
                await self._answer(members, batch, self._assembled_ahead(members))
        except Exception:
            for image in members:
                image.fail(WorkerError("Running this batch failed; the worker's log says why."))
            raise

    def _assembled_ahead(self, members: Sequence[QueuedImage]) -> Future[Sequence[Image]] | None:
        """The batch as one array, made while others run; None where that gains nothing."""
        if self._assembling is None or not self._all_busy:
            return None
        return self._assembling.submit(self._assemble, [image.image for image in members])

    def _chosen(self, slot: CoreSlot) -> NextBatch:
        """The next batch, on the cores that the slot has or can get."""
        known = {"queued": len(self._queue), "coming": self._coming()}
        batch = next_batch(self._pace, running=len(self._given), sizes=self._sizes, **known)
        if self._pace.streams is None or batch.stream or self._scheduler.widen(slot):
            return batch
        return next_batch(self._pace, running=1, sizes=self._sizes, **known)

    async def _answer(
        self, members: list[QueuedImage], batch: NextBatch, ready: Future[Sequence[Image]] | None = None
    ) -> None:
        try:
            result = await self._in_thread(members, batch, ready)
        except asyncio.CancelledError:
            reject_closing(members)
            raise
        except Busy as error:  # the engine cannot predict now, whichever the images
            for image in members:
                image.fail(error)
            return
        except Exception as error:
            await self._one_by_one(members, batch, error)
            return
        note_batch(
            [image.trace for image in result.members],
            began_s=result.began_s,
            ended_s=result.ended_s,
            model=self._numbers.name,
            rows=rows_of(result.members),
        )
        for image, undecodable in result.undecodable:
            image.fail(undecodable)
        for image, row in zip(result.members, result.scores, strict=True):
            if not image.answer.done():
                image.began_s = result.began_s
                image.answer.set_result(row)
        if len(result.members) < len(members):
            self._queue.reject_expired(members)
        if result.members:  # the answers go first
            asyncio.get_running_loop().call_soon(self._record, result, batch)

    async def _one_by_one(self, members: list[QueuedImage], batch: NextBatch, error: Exception) -> None:
        """After a batch has failed, run its images one by one, so that only the one at fault fails."""
        if len(members) == 1:
            logger.error("A prediction failed.", exc_info=error)
            members[0].fail(WorkerError("The model failed on this input; the worker's log says why."))
            return
        for image in members:
            if not image.answer.done():
                await self._answer([image], batch)

    async def _in_thread(
        self, members: list[QueuedImage], batch: NextBatch, ready: Future[Sequence[Image]] | None
    ) -> Result:
        predict = self._stream if batch.stream else self._predict
        self._given = {**self._given, id(members): time.monotonic()}
        rows = rows_of(members)
        self.running += rows
        try:
            return await self._threads.submit(
                predicted, predict, members, ready, self._assemble if self._sizes else None
            )
        finally:
            self.running -= rows
            self._given = {key: since_s for key, since_s in self._given.items() if key != id(members)}

    def _record(self, result: Result, batch: NextBatch) -> None:
        """Count a batch, and learn from how long it took since its thread was free, including a wait for images."""
        for image in result.members:
            self._numbers.took("queue", result.began_s - image.since_s)
        rows = rows_of(result.members)
        self._numbers.batch(rows, took_s=result.ended_s - result.began_s)
        free_s = max((freed_s for freed_s in self._freed_s if freed_s <= result.began_s), default=None)
        if free_s is not None:
            self._freed_s.remove(free_s)
        pace = self._pace.streams.each if batch.stream and self._pace.streams else self._pace
        took_s = result.ended_s - (result.began_s if free_s is None else free_s)
        self.slower = slowdown(self.slower, pace, images=rows, took_s=took_s)
        if self._depth() or self._all_busy:
            self._freed_s.append(result.ended_s)
        else:
            self.emptied()
