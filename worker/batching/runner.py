"""Batches travel from the queue to the engine and their scores back: one on all cores, or one on each stream.

A thread that has a core takes the next batch from the queue, predicts it, and tells the event loop the scores while it
goes on with the batch after that. For an engine that leaves the cores free, the batch that comes next is made one array
meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

from worker.batching.core_scheduler import CoreScheduler, CoreSlot, ScheduledSource
from worker.batching.padding import assemble
from worker.batching.policy import NextBatch, Pace, next_batch, slowdown
from worker.batching.prediction import Failure, Predict, Result, outcomes
from worker.batching.queue import Image, ImageQueue, QueuedImage, reject_closing, rows_of
from worker.errors import WorkerError
from worker.telemetry.metrics import ModelMetrics
from worker.telemetry.request_stages import note_batch

logger = logging.getLogger(__name__)

Upload = Callable[[Sequence[Image]], Sequence[Image]]
"""Images of one size -> a batch for `Predict`, padded, which is on its way to the device."""

STUCK_AFTER_S = 30.0
"""A single batch that takes longer than this means that the engine hangs."""

PAUSE_S = 0.5
"""How long no batch begins where none could be taken, which may happen again at once."""

NOT_RUN = "Running this batch failed; the worker's log says why."


class _Batch(NamedTuple):
    """Images that have left the queue; `ready` is the array of them that is being made, if it is."""

    members: list[QueuedImage]
    how: NextBatch
    ready: Future[Sequence[Image]] | None = None


class BatchRunner:
    """Runs the batches of `queue`; the other arguments as for `Batcher`. Use as an async context manager.

    coming: how many requests are being received or decoded; depth: how many images wait, encoded or decoded
    ended:  called on the event loop after each batch
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
        self.running = 0  # images that are being predicted, or that are to be next
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
        self._lock = threading.Lock()  # for `running`, `_next` and `_given`, which threads change
        self._next: _Batch | None = None
        # Each batch that runs, and since when; replaced, never changed, because other threads iterate over it.
        self._given: Mapping[int, tuple[float, _Batch]] = {}
        self._freed_s: deque[float] = deque(maxlen=self._count)  # since when a thread was free though images waited
        self._assembling = ThreadPoolExecutor(1, thread_name_prefix="assemble") if ahead else None
        self._failing = False  # whether the last batch ended with an unexpected error
        self._paused = False
        self._closed = False
        self._loop: asyncio.AbstractEventLoop
        self._scheduled: ScheduledSource

    async def __aenter__(self) -> BatchRunner:
        self._loop = asyncio.get_running_loop()
        self._scheduled = self._scheduler.add(self, cores=1 if self._pace.streams else None, abreast=self._count)
        return self

    async def __aexit__(self, *_: object) -> None:
        """End at once, without waiting for the batches that run."""
        self._scheduler.remove(self._scheduled)
        with self._lock:
            self._closed = True
            left = [batch for _, batch in self._given.values()]
            if self._next is not None:
                left.append(self._next)
                self._next = None
        for batch in left:
            reject_closing(batch.members)
        if self._assembling is not None:
            self._assembling.shutdown(wait=False, cancel_futures=True)

    @property
    def moving(self) -> bool:
        """Whether predictions get done: not while a batch runs far too long, or fails unexpectedly. From any thread."""
        now_s = time.monotonic()
        return not self._failing and all(now_s - since_s < STUCK_AFTER_S for since_s, _ in self._given.values())

    @property
    def idle(self) -> bool:
        """Whether nothing is being predicted, here or by others on the same cores."""
        return not self.running and self._scheduler.idle

    def arrived(self) -> None:
        """Images have been added to the queue."""
        self._scheduler.request(self._scheduled)
        if self._assembling is not None:
            self._make_next()

    def emptied(self) -> None:
        """No images are left: the time until more arrive counts for no batch."""
        self._freed_s.clear()

    @property
    def has_batch(self) -> bool:
        """See `BatchSource.has_batch`."""
        return (len(self._queue) > 0 or self._next is not None) and not self._paused

    def run_batch(self, slot: CoreSlot) -> None:
        """See `BatchSource.run_batch`."""
        try:
            batch = self._take(slot)
        except Exception:
            logger.exception("No batch could be begun: trying again in %g s.", PAUSE_S)
            self._failing = self._paused = True
            self._tell(self._loop.call_later, PAUSE_S, self._go_on)
            return
        if self._queue:
            self._scheduler.request(self._scheduled)
        if self._assembling is not None:
            self._make_next()
        if batch is not None:
            self._run(batch)

    def _go_on(self) -> None:
        """On the event loop, some time after an unexpected error."""
        self._paused = False
        self._scheduler.request(self._scheduled)

    def _take(self, slot: CoreSlot) -> _Batch | None:
        """In a thread: the next batch, which the thread then has; None if no image is left that can be answered."""
        with self._lock:
            batch, self._next = self._next or self._taken(partial(self._chosen, slot)), None
            if batch is not None:
                self._given = {**self._given, id(batch.members): (time.monotonic(), batch)}
        return batch

    def _taken(self, choose: Callable[[int], NextBatch]) -> _Batch | None:
        """With the lock: a batch out of the queue, of as many images as `choose` says; those that are late are told."""
        queued = len(self._queue)
        if not queued or self._closed:
            return None
        how = choose(queued)
        members, late = self._queue.take(how.images)
        if late:
            self._tell(self._queue.reject_late, late)
        self.running += rows_of(members)
        return _Batch(members, how) if members else None

    def _chosen(self, slot: CoreSlot, queued: int) -> NextBatch:
        """The next batch, on the cores that the slot has or can get."""
        known = {"queued": queued, "coming": self._coming()}
        batch = next_batch(self._pace, running=len(self._given), sizes=self._sizes, **known)
        if self._pace.streams is None or batch.stream or self._scheduler.widen(slot):
            return batch
        return next_batch(self._pace, running=1, sizes=self._sizes, **known)

    def _make_next(self) -> None:
        """Make the next batch one array while another one runs, if it is full: then it cannot become any fuller."""
        with self._lock:
            if self._assembling is None or self._next is not None or not self._all_busy:
                return
            if len(self._queue) < self._pace.cap:
                return
            batch = self._taken(
                lambda queued: next_batch(self._pace, queued=queued, coming=0, running=1, sizes=self._sizes)
            )
            if batch is not None:
                ready = self._assembling.submit(self._assemble, [image.image for image in batch.members])
                self._next = batch._replace(ready=ready)

    @property
    def _all_busy(self) -> bool:
        return len(self._given) >= self._count

    def _run(self, batch: _Batch) -> None:
        """In a thread: predict a batch and tell the event loop."""
        left, how, ready = batch
        predict = self._stream if how.stream else self._predict
        try:
            for outcome in outcomes(predict, left, ready, self._assemble if self._sizes else None):
                left = left[len(outcome.batch) :]
                if not left:
                    self._leave(batch)
                    self._failing = False
                self._tell(self._answer, outcome, how)
        except Exception:
            logger.exception("Running a batch failed unexpectedly.")
            self._failing = True
            self._leave(batch)
            self._tell(self._answer, Failure(left, WorkerError(NOT_RUN)), how)

    def _leave(self, batch: _Batch) -> None:
        """In a thread: it has this batch no longer."""
        with self._lock:
            self._given = {key: value for key, value in self._given.items() if key != id(batch.members)}

    def _tell(self, callback: Callable[..., object], *arguments: object) -> None:
        """From a thread: call back on the event loop, unless that has ended."""
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:
            logger.debug("The event loop has ended before a batch.")

    def _answer(self, outcome: Result | Failure, how: NextBatch) -> None:
        """On the event loop: answer the images of a batch, or one that ran by itself."""
        with self._lock:
            self.running -= rows_of(outcome.batch)
        try:
            if isinstance(outcome, Result):
                self._answer_with(outcome, how)
                return
            error = outcome.error
        except Exception:
            logger.exception("Answering a batch failed unexpectedly.")
            self._failing = True
            error = WorkerError(NOT_RUN)
        finally:
            self._ended()
        for image in outcome.batch:
            image.fail(error)

    def _answer_with(self, result: Result, how: NextBatch) -> None:
        for image, undecodable in result.undecodable:
            image.fail(undecodable)
        note_batch(
            [image.trace for image in result.members],
            began_s=result.began_s,
            ended_s=result.ended_s,
            model=self._numbers.name,
            rows=rows_of(result.members),
        )
        for image, row in zip(result.members, result.scores, strict=True):
            if not image.answer.done():
                image.began_s = result.began_s
                image.answer.set_result(row)
        if len(result.members) < len(result.batch):
            self._queue.reject_late(result.batch)
        if result.members:
            self._loop.call_soon(self._record, result, how)  # the answers go first

    def _record(self, result: Result, how: NextBatch) -> None:
        """Count a batch, and learn from how long it took since its thread was free, including a wait for images."""
        for image in result.members:
            self._numbers.took("queue", result.began_s - image.since_s)
        rows = rows_of(result.members)
        self._numbers.batch(rows, took_s=result.ended_s - result.began_s)
        free_s = max((freed_s for freed_s in self._freed_s if freed_s <= result.began_s), default=None)
        if free_s is not None:
            self._freed_s.remove(free_s)
        pace = self._pace.streams.each if how.stream and self._pace.streams else self._pace
        took_s = result.ended_s - (result.began_s if free_s is None else free_s)
        self.slower = slowdown(self.slower, pace, images=rows, took_s=took_s)
        if self._depth() or self._all_busy:
            self._freed_s.append(result.ended_s)
        else:
            self.emptied()
