"""The queue before one engine: images come in one by one, are let in or refused, and wait for their scores.

Runs on one event loop. Every caller gets exactly its own scores or its own error.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from worker.batching.core_scheduler import Turns
from worker.batching.policy import Pace, Room, crowded, expected_wait_s, refusal
from worker.batching.queue import Image, Line, Scores, Waiting
from worker.batching.runner import Lanes, Predict
from worker.errors import Overloaded
from worker.telemetry.metrics import ModelMetrics

QUEUE_BYTES = 512 << 20
"""Memory for images that wait, unless told otherwise: 3,500 of 224 x 224 pixels, or 3 of 50 million pixels."""

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
    turns:            the gate before the cores, where several batchers share them
    sizes:            the only batch sizes that the engine should see: batches are padded to them
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
        turns: Turns | None = None,
        sizes: Sequence[int] = (),
        ahead: bool = False,
    ) -> None:
        self.pace = pace
        self._room = Room(queue_most, queue_bytes_most)
        self._numbers = numbers
        self._line = Line(numbers=numbers)
        self._left = asyncio.Event()
        self._coming = _Coming(self._has_come)
        self._encoded = 0
        self._held_bytes = 0
        self._crowded = False
        self._lanes = Lanes(
            self._line,
            predict=predict,
            stream=stream,
            pace=pace,
            sizes=tuple(sizes),
            ahead=ahead,
            turns=turns or Turns(),
            numbers=numbers,
            coming=lambda: self._coming.count,
            depth=lambda: self.depth,
            ended=self._left.set,
        )

    async def __aenter__(self) -> Batcher:
        await self._lanes.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Ends at once: what still waits is refused. `drained` first, to answer it."""
        await self._lanes.__aexit__()
        self._line.close()

    @property
    def moving(self) -> bool:
        """Whether predictions get done: False when one batch has been running far too long."""
        return self._lanes.moving

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
        return self._lanes.running

    @property
    def held_bytes(self) -> int:
        """Memory of the images that wait or are being predicted."""
        return self._held_bytes

    async def drained(self) -> None:
        """Wait until nobody is on the way, waits or is being predicted."""
        while self._coming.count or self.depth or self.running:
            self._left.clear()
            await self._left.wait()

    def coming(self) -> AbstractContextManager[object]:
        """Around receiving and decoding: a request is on its way, and a batch may wait a moment for it."""
        return self._coming

    def _has_come(self) -> None:
        self._left.set()
        if not self._coming.count:
            self._lanes.arrived()

    def admit(self, *, deadline_s: float, images: int = 1, nbytes: int = 0) -> None:
        """Raise Overloaded if `images` that arrive now have no room, or no chance by `deadline_s` (monotonic)."""
        depth = self.depth
        ahead = depth + self._lanes.running
        wait_s = expected_wait_s(self.pace, ahead=ahead, images=images, slower=self._lanes.slower)
        refused = refusal(
            self._room,
            waiting=Room(depth, self._held_bytes),
            more=Room(images, nbytes),
            wait_s=wait_s,
            left_s=deadline_s - time.monotonic(),
        )
        if refused is not None:
            self._numbers.rejected(refused.reason, images)
            why = f"This worker is busy and {_WHY[refused.reason]}: ask for another one."
            raise Overloaded(why, retry_after_s=refused.retry_after_s)

    def decoding(self, images: int, *, nbytes: int, deadline_s: float) -> AbstractContextManager[object]:
        """Around waiting for a decoding thread and decoding: the images count as waiting. Raises Overloaded.

        `nbytes` is the memory that they take, encoded or decoded, whichever is more.
        """
        self.admit(deadline_s=deadline_s, images=images, nbytes=nbytes)
        return _Decoding(self._decode, images, nbytes)

    def _decode(self, images: int, nbytes: int) -> None:
        """So many more are to be decoded; fewer, if negative."""
        self._encoded += images
        self._held_bytes += nbytes
        if images > 0:
            self._coming.__enter__()
            return
        self._coming.__exit__(None, None, None)
        if not self.depth:
            self._lanes.emptied()

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
            self._lanes.arrived()
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


class _Coming(AbstractContextManager[object]):
    """The requests on their way; entered once for each of them. All requests pass here: no generator's cost."""

    __slots__ = ("_has_come", "count")

    def __init__(self, has_come: Callable[[], None]) -> None:
        self.count = 0
        self._has_come = has_come

    def __enter__(self) -> None:
        self.count += 1

    def __exit__(self, *_: object) -> None:
        self.count -= 1
        self._has_come()


class _Decoding(AbstractContextManager[object]):
    """The images of one request, and their bytes, while they are being decoded."""

    __slots__ = ("_change", "_images", "_nbytes")

    def __init__(self, change: Callable[[int, int], None], images: int, nbytes: int) -> None:
        self._change = change
        self._images = images
        self._nbytes = nbytes

    def __enter__(self) -> None:
        self._change(self._images, self._nbytes)

    def __exit__(self, *_: object) -> None:
        self._change(-self._images, -self._nbytes)
