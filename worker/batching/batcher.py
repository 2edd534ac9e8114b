"""The queue before one engine: images arrive one by one, are admitted or refused, and wait for their scores.

Belongs to one event loop. Each caller gets exactly the scores of its own images, or its own error.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import numpy as np

from worker.batching.core_scheduler import CoreScheduler
from worker.batching.counting import Coming, Decoding
from worker.batching.policy import ONLY_CALLER, Capacity, Pace, crowded, expected_wait_s, refusal
from worker.batching.prediction import Predict
from worker.batching.queue import Image, ImageQueue, QueuedImage, Scores
from worker.batching.runner import BatchRunner, Upload
from worker.errors import Busy
from worker.telemetry.metrics import ModelMetrics
from worker.telemetry.request_stages import ImageTrace, Stages, current_stages

QUEUE_BYTES = 512 << 20
"""Memory for images that wait, by default: 3,500 of 224 x 224 pixels, or 3 of 50 million pixels."""

UNDECODED: Image = np.empty((0, 0, 3), np.uint8)
"""Stands for the pixels of an image until the thread that predicts it has decoded it."""

_WHY = {
    "queue": "its queue is full",
    "memory": "the images that wait fill its memory",
    "deadline": "the deadline could not be met",
}


class Batcher:
    """The queue before one engine. Use as an async context manager.

    predict:          a sequence of images to scores [n, classes]; called from one thread at a time
    stream:           the same on one core, called by as many threads at a time as the pace has streams
    queue_most:       images that may wait, encoded or decoded; queue_bytes_most: their memory, in bytes
    scheduler:        shares the cores among several batchers
    sizes:            the only batch sizes that the engine should see: batches are padded to them
    upload:           makes a padded batch on its way to the device; if None, batches are arrays on the host
    ahead:            assemble the next full batch while one runs: for engines that leave the cores free
    """

    def __init__(
        self,
        predict: Predict,
        *,
        stream: Predict | None = None,
        pace: Pace,
        queue_most: int,
        numbers: ModelMetrics,
        queue_bytes_most: int = QUEUE_BYTES,
        scheduler: CoreScheduler | None = None,
        sizes: Sequence[int] = (),
        upload: Upload | None = None,
        ahead: bool = False,
    ) -> None:
        self.pace = pace
        self._room = Capacity(queue_most, queue_bytes_most)
        self._numbers = numbers
        self._queue = ImageQueue(numbers=numbers)
        self._left = asyncio.Event()  # an image or a request has left
        self._coming = Coming(self._left.set)
        self._encoded = 0
        self._encoded_of: dict[str, int] = {}  # by the names of callers, where they have names
        self._held_bytes = 0
        self._crowded = False
        self._runner = BatchRunner(
            self._queue,
            predict=predict,
            stream=stream,
            pace=pace,
            sizes=tuple(sizes),
            upload=upload,
            ahead=ahead,
            scheduler=scheduler or CoreScheduler(),
            numbers=numbers,
            coming=lambda: self._coming.count,
            depth=lambda: self.depth,
            ended=self._left.set,
        )

    async def __aenter__(self) -> Batcher:
        await self._runner.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        """End at once and refuse the images that wait; await `drained` first to have them answered."""
        await self._runner.__aexit__()
        self._queue.close()

    @property
    def moving(self) -> bool:
        """Whether predictions get done, see `BatchRunner.moving`."""
        return self._runner.moving

    @property
    def crowded(self) -> bool:
        """Whether the queue is nearly full, so that this worker should get fewer requests for a while."""
        self._crowded = crowded(queued=self.depth, most=self._room.images, before=self._crowded)
        return self._crowded

    @property
    def depth(self) -> int:
        """Images that wait, encoded or decoded."""
        return self._encoded + len(self._queue)

    @property
    def running(self) -> int:
        """Images that are being predicted."""
        return self._runner.running

    @property
    def held_bytes(self) -> int:
        """Memory of the images that wait or are being predicted."""
        return self._held_bytes

    async def drained(self) -> None:
        """Wait until no image is being received, waits or is being predicted."""
        while self._coming.count or self.depth or self.running:
            self._left.clear()
            await self._left.wait()

    def coming(self) -> AbstractContextManager[object]:
        """A context around receiving and decoding a request: `next_batch` counts it, and `drained` waits for it."""
        return self._coming

    def admit(self, *, deadline_s: float, images: int = 1, nbytes: int = 0, caller: str = "") -> None:
        """Raise Busy if `images` of the caller that arrive now have no room, or no chance by `deadline_s` (monotonic).

        Images of other callers that wait longer than theirs count for the room only.
        """
        waiting = len(self._queue)
        depth = self._encoded + waiting
        ahead = self._encoded + self._runner.running
        if waiting:
            ahead += self._queue.ahead_of(caller, images)
        wait_s = expected_wait_s(self.pace, ahead=ahead, images=images, slower=self._runner.slower)
        refused = refusal(
            self._room,
            waiting=Capacity(depth, self._held_bytes),
            more=Capacity(images, nbytes),
            wait_s=wait_s,
            left_s=deadline_s - time.monotonic(),
            share=self._queue.share(caller, self._encoded_of) if depth + images > self._room.images else ONLY_CALLER,
        )
        if refused is not None:
            self._numbers.rejected(refused.reason, images)
            why = f"This worker is busy and {_WHY[refused.reason]}: ask for another one."
            raise Busy(why, retry_after_s=refused.retry_after_s)

    def decoding(
        self, images: int, *, nbytes: int, deadline_s: float, caller: str = ""
    ) -> AbstractContextManager[object]:
        """A context around decoding, and waiting for it: the images count as waiting. Raises Busy.

        `nbytes` is the memory that the images take, encoded or decoded, whichever is more.
        """
        self.admit(deadline_s=deadline_s, images=images, nbytes=nbytes, caller=caller)
        return Decoding(self._decode, images, nbytes, caller)

    def _decode(self, images: int, nbytes: int, caller: str) -> None:
        """Count `images` more of the caller that are to be decoded; fewer, if the number is negative."""
        self._encoded += images
        if caller:
            left = self._encoded_of.get(caller, 0) + images
            if left:
                self._encoded_of[caller] = left
            else:
                del self._encoded_of[caller]
        self._held_bytes += nbytes
        if images > 0:
            self._coming.__enter__()
            return
        self._coming.__exit__(None, None, None)
        if not self.depth:
            self._runner.emptied()

    @property
    def idle(self) -> bool:
        """Whether nothing is being received, waits or is being predicted, here or by others on the same cores."""
        return not self._coming.count and not self.depth and self._runner.idle

    async def submit_encoded(
        self, decode: Callable[[], Image], *, nbytes: int, deadline_s: float, caller: str = ""
    ) -> Scores:
        """Scores [classes] of an image that the thread which predicts it decodes first; while `idle`.

        A lone image is answered sooner that way, for it passes from thread to thread once less; others would wait.
        Raises what `decode` and `submit_all` raise. `nbytes` as for `decoding`.
        """
        self.admit(deadline_s=deadline_s, nbytes=nbytes, caller=caller)
        answer: asyncio.Future[Scores] = asyncio.get_running_loop().create_future()
        image = QueuedImage(UNDECODED, deadline_s, answer, caller, trace=_image_trace(), decode=decode)
        (scores,) = await self._scores([image], nbytes=nbytes, caller=caller)
        return scores

    async def submit(self, image: Image, *, deadline_s: float) -> Scores:
        """Scores [classes] of one image; see `submit_all`."""
        return (await self.submit_all([image], deadline_s=deadline_s))[0]

    async def submit_all(
        self,
        images: Sequence[Image],
        *,
        deadline_s: float,
        admitted: bool = False,
        caller: str = "",
        rows: Sequence[int] = (),
    ) -> list[Scores]:
        """Scores [classes] of each image, in order, or the error of the first that has none.

        Callers, who are told apart by their names, take turns. Raises Busy when there is no room, DeadlinePassed when
        `deadline_s` passed in the queue. A task that is cancelled costs no prediction if its batch has not begun. For
        images that were `admitted` with their request, only their memory is checked again, not the deadline. `rows`
        says how many images each counts as, where it is not one.
        """
        rows = rows or [1] * len(images)
        nbytes = sum(image.nbytes for image in images)
        if not admitted or self._held_bytes + nbytes > self._room.nbytes:
            self.admit(deadline_s=deadline_s, images=sum(rows), nbytes=nbytes, caller=caller)
        loop = asyncio.get_running_loop()
        waiting = [
            QueuedImage(image, deadline_s, loop.create_future(), caller, rows=count, trace=_image_trace())
            for image, count in zip(images, rows, strict=True)
        ]
        return await self._scores(waiting, nbytes=nbytes, caller=caller)

    async def _scores(self, waiting: list[QueuedImage], *, nbytes: int, caller: str) -> list[Scores]:
        """Queue the images of one request, and wait for their scores."""
        self._held_bytes += nbytes
        try:
            self._queue.add(waiting, caller=caller)
            self._runner.arrived()
            try:
                scores = [await one.answer for one in waiting]
            finally:
                self._note_decoding(waiting)
            stages = current_stages.get()
            if stages is not None:
                _note_stages(stages, waiting)
            return scores
        finally:
            self._held_bytes -= nbytes
            self._give_up(waiting)
            self._left.set()

    def _note_decoding(self, waiting: Sequence[QueuedImage]) -> None:
        """Count how long images took that the predicting thread has decoded."""
        stages = current_stages.get()
        for one in waiting:
            if one.decoding_s:
                self._numbers.took("decode", one.decoding_s)
                if stages is not None:
                    stages.note("decode", one.since_s - one.decoding_s, one.since_s)

    def _give_up(self, waiting: list[QueuedImage]) -> None:
        """Images without an answer by now want none, so their places become free at once."""
        gone = 0
        for one in waiting:
            if one.answer.done() and not one.answer.cancelled():
                one.answer.exception()  # of several images only the first error is raised
                continue
            one.answer.cancel()
            gone += one.rows
            self._queue.remove(one)
        if gone:
            self._numbers.rejected("gone", gone)


def _image_trace() -> ImageTrace | None:
    """The trace of the current task's request, for an image that joins the queue; None: it is not traced."""
    stages = current_stages.get()
    return None if stages is None else stages.image_trace()


def _note_stages(stages: Stages, answered: Sequence[QueuedImage]) -> None:
    """Note how long the images of a request waited, and how long their batches took; both until the last of them."""
    since_s = min(one.since_s for one in answered)
    began_s = max(since_s, *(one.began_s for one in answered))
    stages.note("queue", since_s, began_s)
    stages.note("predict", began_s, time.monotonic(), [one.trace for one in answered])
