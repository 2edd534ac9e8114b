"""Images that wait for the engine and leave it as batches, in which the callers take turns.

A cancelled image leaves from the middle at once; an image whose deadline has passed gets its error when its batch is
taken.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from worker.batching.fair_queue import FairQueue
from worker.batching.policy import Share
from worker.errors import Busy, DeadlinePassed, WorkerError
from worker.telemetry.metrics import ModelMetrics
from worker.telemetry.request_stages import ImageTrace

Image = NDArray[np.uint8]
Scores = NDArray[np.float32]


@dataclass(slots=True, eq=False)
class QueuedImage:
    """One image and the future that gets its scores; `deadline_s`, `since_s` and `began_s` are monotonic times.

    `began_s` is when its batch began to be predicted; 0.0 before. `caller` is the name of who sent it, "" where nobody
    is asked for one. `rows` is how many images it counts as: more than one where it is several rows of tensors.
    `decode` makes the image in the thread that predicts it; None means that it is made already. `decoding_s` is how
    long that took, with the wait for the thread, and `since_s` then becomes the time when it was done.
    `trace` is that of its request, if it is traced.
    """

    image: Image
    deadline_s: float
    answer: asyncio.Future[Scores]
    caller: str = ""
    since_s: float = field(default_factory=time.monotonic)
    began_s: float = 0.0
    rows: int = 1
    trace: ImageTrace | None = None
    decode: Callable[[], Image] | None = None
    decoding_s: float = 0.0

    def decode_here(self) -> None:
        """Decode the image, if it is not yet; whatever `decode` raises. From any thread."""
        if self.decode is None:
            return
        decode, self.decode = self.decode, None
        try:
            self.image = decode()
        finally:
            now_s = time.monotonic()
            self.decoding_s, self.since_s = now_s - self.since_s, now_s

    def wanted(self, now_s: float) -> bool:
        """Whether the caller still waits for the answer, and its deadline has not passed."""
        return not self.answer.done() and self.deadline_s >= now_s

    def fail(self, error: WorkerError) -> None:
        """Answer with an error, unless there is an answer already or the caller has left."""
        if not self.answer.done():
            self.answer.set_exception(error)


class Taken(NamedTuple):
    """What left the queue: the members of the next batch, and `late` images, whose deadlines have passed."""

    members: list[QueuedImage]
    late: list[QueuedImage]


class ImageQueue:
    """The images before one engine. They arrive on one event loop, and any thread may take them."""

    def __init__(self, *, numbers: ModelMetrics) -> None:
        self._numbers = numbers
        self._lock = threading.Lock()
        self._queue: FairQueue[QueuedImage] = FairQueue()
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    def add(self, images: Sequence[QueuedImage], *, caller: str) -> None:
        """Append images of one caller."""
        with self._lock:
            self._queue.add(caller, images)
            self._rows += rows_of(images)

    def share(self, caller: str, encoded: Mapping[str, int]) -> Share:
        """How much of what waits belongs to the caller, where so many images of each one are still to be decoded."""
        with self._lock:
            callers = self._queue.callers | encoded.keys() | {caller}
            return Share(self._in_rows(self._queue.count_of(caller)) + encoded.get(caller, 0), len(callers))

    def ahead_of(self, caller: str, images: int) -> int:
        """How many images leave before the last of `images` that the caller adds now."""
        with self._lock:
            return self._in_rows(self._queue.ahead_of(caller, images))

    def remove(self, image: QueuedImage) -> None:
        """Remove an image that wants no answer any more, if it is still here."""
        with self._lock:
            if self._queue.discard(image.caller, image):
                self._rows -= image.rows

    def take(self, images: int) -> Taken:
        """Take the next batch, of at most `images`; it has no members if none is left whose deadline can be met.

        Rows that belong together are more than that only where they are alone. The event loop is to reject what is
        late.
        """
        members: list[QueuedImage] = []
        late: list[QueuedImage] = []
        room, now_s = images, time.monotonic()
        with self._lock:
            while self._queue and room > 0:
                first = self._queue.first
                if members and first.rows > room:
                    break
                self._queue.pop()
                self._rows -= first.rows
                if first.wanted(now_s):
                    members.append(first)
                    room -= first.rows
                elif not first.answer.done():
                    late.append(first)
        return Taken(members, late)

    def reject_late(self, images: Sequence[QueuedImage]) -> None:
        """Answer those of the images whose deadlines have passed, and that have no answer yet, with that error."""
        now_s = time.monotonic()
        for image in images:
            if image.deadline_s < now_s and not image.answer.done():
                self._numbers.rejected("expired", image.rows)
                image.fail(DeadlinePassed("The deadline passed before a prediction began."))

    def close(self) -> None:
        """Answer all images that wait with the error of a worker that closes."""
        with self._lock:
            waiting = tuple(self._queue)
            self._queue.clear()
            self._rows = 0
        reject_closing(waiting)

    def _in_rows(self, count: int) -> int:
        """How many images `count` of those that wait count as, on average."""
        return count * self._rows // self._queue.count if count else 0


def rows_of(members: Sequence[QueuedImage]) -> int:
    """How many images the members count as."""
    return sum([image.rows for image in members])  # a generator costs half as much again


def reject_closing(members: Sequence[QueuedImage]) -> None:
    """Answer all `members` with the error of a worker that closes."""
    for image in members:
        image.fail(Busy("This worker is closing: ask for another one.", retry_after_s=1))
