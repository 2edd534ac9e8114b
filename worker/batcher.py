"""Images come in one by one and go to the engine together: a bounded queue, one batch at a time, futures back.

Runs on one event loop; predictions run in a thread of its own. Every caller gets exactly its own scores or its
own error: an image that makes a batch fail is found by running that batch's images one by one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from worker.batching import Pace, crowded, expected_wait_s, gather_s
from worker.errors import DeadlinePassed, Overloaded, WorkerError
from worker.metrics import Numbers

logger = logging.getLogger(__name__)

Image = NDArray[np.uint8]
Scores = NDArray[np.float32]
Predict = Callable[[Sequence[Image]], Scores]

STUCK_AFTER_S = 30.0
"""A single batch that takes longer than this means that the engine hangs."""


@dataclass(slots=True, eq=False)
class _Waiting:
    image: Image
    deadline_s: float
    answer: asyncio.Future[Scores]
    since_s: float = field(default_factory=time.monotonic)


class Batcher:
    """The queue before one engine. Use as an async context manager.

    `predict` takes a sequence of images and returns scores [n, classes]; it is called from one thread only.
    `queue_most` bounds the images that wait.
    """

    def __init__(self, predict: Predict, *, pace: Pace, queue_most: int, numbers: Numbers) -> None:
        self.pace = pace
        self._predict = predict
        self._queue_most = queue_most
        self._numbers = numbers
        self._queue: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._coming = 0
        self._running = 0
        self._crowded = False
        self._batch_since_s: float | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="predict")
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Batcher:
        self._task = asyncio.create_task(self._run(), name="batches")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._thread.shutdown(wait=False, cancel_futures=True)

    @property
    def moving(self) -> bool:
        """Whether predictions get done: False when one batch has been running far too long."""
        since_s = self._batch_since_s
        return since_s is None or time.monotonic() - since_s < STUCK_AFTER_S

    @property
    def crowded(self) -> bool:
        """Whether the queue is nearly full: this worker should get less for a while."""
        self._crowded = crowded(queued=len(self._queue), most=self._queue_most, before=self._crowded)
        return self._crowded

    @property
    def depth(self) -> int:
        """Images that wait."""
        return len(self._queue)

    @property
    def running(self) -> int:
        """Images that are being predicted."""
        return self._running

    @contextmanager
    def coming(self) -> Iterator[None]:
        """Around receiving and decoding: a request is on its way, and a batch may wait a moment for it."""
        self._coming += 1
        try:
            yield
        finally:
            self._coming -= 1
            if self._coming == 0:
                self._arrived.set()

    def admit(self, *, deadline_s: float) -> None:
        """Raise Overloaded if an image that arrives now could not be answered by `deadline_s` (monotonic)."""
        wait_s = expected_wait_s(self.pace, queued=len(self._queue), running=self._running)
        full = len(self._queue) >= self._queue_most
        if full or time.monotonic() + wait_s > deadline_s:
            why = "its queue is full" if full else "the deadline could not be met"
            self._numbers.rejected.labels(reason="queue" if full else "deadline").inc()
            raise Overloaded(f"This worker is busy and {why}: ask for another one.", retry_after_s=wait_s)

    async def submit(self, image: Image, *, deadline_s: float) -> Scores:
        """Scores [classes] of one image.

        Raises Overloaded when there is no room, DeadlinePassed when `deadline_s` passed in the queue. A caller
        that is cancelled costs no prediction if its batch has not begun.
        """
        self.admit(deadline_s=deadline_s)
        waiting = _Waiting(image, deadline_s, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._arrived.set()
        return await waiting.answer

    async def _run(self) -> None:
        just_finished = False
        while True:
            if not self._queue:
                just_finished = False
                self._arrived.clear()
                await self._arrived.wait()
                continue
            await self._gather(just_finished=just_finished)
            batch = self._take()
            if batch:
                await self._answer(batch)
                just_finished = True

    async def _gather(self, *, just_finished: bool) -> None:
        wait_s = gather_s(self.pace, queued=len(self._queue), coming=self._coming, just_finished=just_finished)
        until_s = time.monotonic() + wait_s
        while len(self._queue) < self.pace.cap and self._coming and (left_s := until_s - time.monotonic()) > 0:
            self._arrived.clear()
            try:
                async with asyncio.timeout(left_s):  # wait_for could swallow the cancellation that ends the loop
                    await self._arrived.wait()
            except TimeoutError:
                return

    def _take(self) -> list[_Waiting]:
        """The next batch: the first in the queue that still want an answer and can have it in time."""
        batch: list[_Waiting] = []
        now_s = time.monotonic()
        while self._queue and len(batch) < self.pace.cap:
            waiting = self._queue.popleft()
            if waiting.answer.done():  # its client is gone
                self._numbers.rejected.labels(reason="gone").inc()
            elif waiting.deadline_s < now_s:
                self._numbers.rejected.labels(reason="expired").inc()
                waiting.answer.set_exception(DeadlinePassed("The deadline passed before a prediction began."))
            else:
                self._numbers.stage_s.labels(stage="queue").observe(now_s - waiting.since_s)
                batch.append(waiting)
        return batch

    async def _answer(self, batch: list[_Waiting]) -> None:
        try:
            scores = await self._call(batch)
        except Exception as error:
            await self._one_by_one(batch, error)
            return
        for waiting, row in zip(batch, scores, strict=True):
            if not waiting.answer.done():
                waiting.answer.set_result(row)

    async def _one_by_one(self, batch: list[_Waiting], error: Exception) -> None:
        """After a batch failed: whose fault was it? Only that one fails."""
        if len(batch) == 1:
            logger.error("A prediction failed.", exc_info=error)
            if not batch[0].answer.done():
                failed = WorkerError("The model could not predict this image; the worker's log says why.")
                batch[0].answer.set_exception(failed)
            return
        for waiting in batch:
            await self._answer([waiting])

    async def _call(self, batch: list[_Waiting]) -> Scores:
        images = [waiting.image for waiting in batch]
        self._running, self._batch_since_s = len(images), time.monotonic()
        try:
            loop = asyncio.get_running_loop()
            scores = await loop.run_in_executor(self._thread, self._predict, images)
            if len(scores) != len(images):
                raise WorkerError(f"The model gave {len(scores)} results for {len(images)} images.")
            return scores
        finally:
            took_s = time.monotonic() - self._batch_since_s
            self._running, self._batch_since_s = 0, None
            self._numbers.stage_s.labels(stage="predict").observe(took_s)
            self._numbers.batch_size.observe(len(images))
