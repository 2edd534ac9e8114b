"""Images come in one by one and go to the engine together: admission, one batch at a time, futures back.

Runs on one event loop; predictions run in a thread of its own. Every caller gets exactly its own scores or its
own error: an image that makes a batch fail is found by running that batch's images one by one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from worker.assembly import assemble
from worker.batching import Pace, Room, crowded, expected_wait_s, gather_s, refusal, slowdown
from worker.errors import Overloaded, WorkerError
from worker.line import Batch, Image, Line, Scores, Waiting
from worker.metrics import ModelNumbers
from worker.turns import Turns

logger = logging.getLogger(__name__)

Predict = Callable[[Sequence[Image]], Scores]

QUEUE_BYTES = 512 << 20
"""Memory for images that wait, unless told otherwise: 3,500 of 224 x 224 pixels, or 3 of 50 million pixels."""

STUCK_AFTER_S = 30.0
"""A single batch that takes longer than this means that the engine hangs."""

_WHY = {
    "queue": "its queue is full",
    "memory": "the images that wait fill its memory",
    "deadline": "the deadline could not be met",
}


class Batcher:
    """The queue before one engine. Use as an async context manager.

    predict:          a sequence of images to scores [n, classes]; called from one thread only
    queue_most:       images that may wait, encoded or decoded; queue_bytes_most: their memory, in bytes
    turns:            the gate before the cores, where several batchers share them
    sizes:            the only batch sizes that the engine should see: batches are padded to them
    ahead:            assemble the next full batch while one runs: for engines that leave the cores free
    """

    def __init__(
        self,
        predict: Predict,
        *,
        pace: Pace,
        queue_most: int,
        numbers: ModelNumbers,
        queue_bytes_most: int = QUEUE_BYTES,
        turns: Turns | None = None,
        sizes: Sequence[int] = (),
        ahead: bool = False,
    ) -> None:
        self.pace = pace
        self._predict = predict
        self._room = Room(queue_most, queue_bytes_most)
        self._numbers = numbers
        self._turns = turns or Turns()
        self._sizes = tuple(sizes)
        self._line = Line(pace, sizes=sizes, ahead=ahead, numbers=numbers)
        self._arrived = asyncio.Event()
        self._left = asyncio.Event()
        self._coming = 0
        self._encoded = 0
        self._held_bytes = 0
        self._running = 0
        self._slower = 1.0
        self._busy_since_s: float | None = None
        self._batch_since_s: float | None = None
        self._crowded = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="predict")
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Batcher:
        self._task = asyncio.create_task(self._run(), name="batches")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Ends at once: what still waits is refused. `drained` first, to answer it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._line.close()
        self._thread.shutdown(wait=False, cancel_futures=True)

    @property
    def moving(self) -> bool:
        """Whether predictions get done: False when one batch has been running far too long."""
        since_s = self._batch_since_s
        return since_s is None or time.monotonic() - since_s < STUCK_AFTER_S

    @property
    def crowded(self) -> bool:
        """Whether the queue is nearly full: this worker should get less for a while."""
        self._crowded = crowded(queued=self.depth, most=self._room.images, before=self._crowded)
        return self._crowded

    @property
    def depth(self) -> int:
        """Images that wait, encoded or decoded."""
        return self._encoded + len(self._line)

    @property
    def running(self) -> int:
        """Images that are being predicted."""
        return self._running

    @property
    def held_bytes(self) -> int:
        """Memory of the images that wait or are being predicted."""
        return self._held_bytes

    async def drained(self) -> None:
        """Wait until nobody is on the way, waits or is being predicted."""
        while self._coming or self.depth or self._running:
            self._left.clear()
            await self._left.wait()

    @contextmanager
    def coming(self) -> Iterator[None]:
        """Around receiving and decoding: a request is on its way, and a batch may wait a moment for it."""
        self._coming += 1
        try:
            yield
        finally:
            self._coming -= 1
            self._left.set()
            if self._coming == 0:
                self._arrived.set()

    def admit(self, *, deadline_s: float, images: int = 1, nbytes: int = 0) -> None:
        """Raise Overloaded if `images` that arrive now have no room, or no chance by `deadline_s` (monotonic)."""
        ahead = self.depth + self._running
        wait_s = expected_wait_s(self.pace, ahead=ahead, images=images, slower=self._slower)
        refused = refusal(
            self._room,
            waiting=Room(self.depth, self._held_bytes),
            more=Room(images, nbytes),
            wait_s=wait_s,
            left_s=deadline_s - time.monotonic(),
        )
        if refused is not None:
            self._numbers.rejected(refused.reason, images)
            why = f"This worker is busy and {_WHY[refused.reason]}: ask for another one."
            raise Overloaded(why, retry_after_s=refused.retry_after_s)

    @contextmanager
    def decoding(self, images: int, *, nbytes: int, deadline_s: float) -> Iterator[None]:
        """Around waiting for a decoding thread and decoding: the images count as waiting. Raises Overloaded.

        `nbytes` is the memory that they take, encoded or decoded, whichever is more.
        """
        self.admit(deadline_s=deadline_s, images=images, nbytes=nbytes)
        self._encoded += images
        self._held_bytes += nbytes
        try:
            with self.coming():
                yield
        finally:
            self._encoded -= images
            self._held_bytes -= nbytes
            if not self.depth:
                self._busy_since_s = None

    async def submit(self, image: Image, *, deadline_s: float) -> Scores:
        """Scores [classes] of one image; see `submit_all`."""
        return (await self.submit_all([image], deadline_s=deadline_s))[0]

    async def submit_all(self, images: Sequence[Image], *, deadline_s: float, admitted: bool = False) -> list[Scores]:
        """Scores [classes] of each image, in order, or the error of the first that has none.

        Raises Overloaded when there is no room, DeadlinePassed when `deadline_s` passed in the queue. A caller
        that is cancelled costs no prediction if its batch has not begun. Images that were `admitted` with their
        request are not asked whether they can be in time, only whether their memory is there.
        """
        nbytes = sum(image.nbytes for image in images)
        if not admitted or self._held_bytes + nbytes > self._room.nbytes:
            self.admit(deadline_s=deadline_s, images=len(images), nbytes=nbytes)
        loop = asyncio.get_running_loop()
        waiting = [Waiting(image, deadline_s, loop.create_future()) for image in images]
        self._held_bytes += nbytes
        try:
            self._line.add(waiting)
            self._arrived.set()
            if self._running:
                self._line.assemble_ahead()
            return [await one.answer for one in waiting]
        finally:
            self._held_bytes -= nbytes
            self._give_up(waiting)
            self._left.set()

    def _give_up(self, waiting: list[Waiting]) -> None:
        """Whoever has no answer by now wants none: it makes room at once."""
        gone = 0
        for one in waiting:
            if one.answer.done() and not one.answer.cancelled():
                one.answer.exception()  # of several images only the first error is told
                continue
            one.answer.cancel()
            gone += 1
            self._line.forget(one)
        if gone:
            self._numbers.rejected("gone", gone)

    async def _run(self) -> None:
        just_finished = False
        while True:
            if not self._line:
                just_finished = False
                self._arrived.clear()
                await self._arrived.wait()
                continue
            since_s = self._busy_since_s or time.monotonic()
            await self._gather(just_finished=just_finished)
            turn = await self._turns.take()
            try:
                batch = self._line.take()
                if batch.members:
                    await self._answer(batch)
                    just_finished = True
                    self._slower = slowdown(
                        self._slower, self.pace, images=len(batch.members), took_s=time.monotonic() - since_s
                    )
            finally:
                self._turns.give_back(turn)
            # Where work is left, the next batch's time has begun already.
            self._busy_since_s = time.monotonic() if self.depth else None
            self._left.set()

    async def _gather(self, *, just_finished: bool) -> None:
        """Wait a moment for those on their way."""
        queued = len(self._line)
        wait_s = gather_s(self.pace, queued=queued, coming=self._coming, just_finished=just_finished)
        until_s = time.monotonic() + wait_s
        while self._coming and not self._line.full and (left_s := until_s - time.monotonic()) > 0:
            self._arrived.clear()
            try:
                async with asyncio.timeout(left_s):  # wait_for could swallow the cancellation that ends the loop
                    await self._arrived.wait()
            except TimeoutError:
                return

    async def _answer(self, batch: Batch) -> None:
        try:
            scores = await self._call(batch)
        except asyncio.CancelledError:
            batch.closing()
            raise
        except Exception as error:
            await self._one_by_one(batch.members, error)
            return
        for waiting, row in zip(batch.members, scores, strict=True):
            if not waiting.answer.done():
                waiting.answer.set_result(row)

    async def _one_by_one(self, members: list[Waiting], error: Exception) -> None:
        """After a batch failed: whose fault was it? Only that one fails."""
        if len(members) == 1:
            logger.error("A prediction failed.", exc_info=error)
            members[0].fail(WorkerError("The model could not predict this image; the worker's log says why."))
            return
        for waiting in members:
            if not waiting.answer.done():
                await self._answer(Batch([waiting]))

    async def _call(self, batch: Batch) -> Scores:
        images = [waiting.image for waiting in batch.members]
        self._running, self._batch_since_s = len(images), time.monotonic()
        for waiting in batch.members:
            self._numbers.took("queue", self._batch_since_s - waiting.since_s)
        try:
            running = asyncio.get_running_loop().run_in_executor(self._thread, self._scores, images, batch.ready)
            self._line.assemble_ahead()
            return await running
        finally:
            self._numbers.batch(len(images), took_s=time.monotonic() - self._batch_since_s)
            self._running, self._batch_since_s = 0, None

    def _scores(self, images: Sequence[Image], ready: Future[Sequence[Image]] | None) -> Scores:
        """In the thread: the engine's answers, one an image."""
        if ready is not None:
            scores = self._predict(ready.result())
        elif self._sizes:
            scores = self._predict(assemble(images, self._sizes))
        else:
            scores = self._predict(images)
        if len(scores) < len(images) or (not self._sizes and len(scores) != len(images)):
            raise WorkerError(f"The model gave {len(scores)} results for {len(images)} images.")
        return scores[: len(images)]
