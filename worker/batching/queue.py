"""Decoded images that wait for the engine: they enter at one end and leave as batches at the other.

A cancelled image leaves from the middle at once; an image whose deadline has passed gets its error when its batch is
taken.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from worker.errors import Busy, DeadlinePassed, WorkerError
from worker.telemetry.metrics import ModelMetrics

Image = NDArray[np.uint8]
Scores = NDArray[np.float32]


@dataclass(slots=True, eq=False)
class QueuedImage:
    """One image and the future that gets its scores; `deadline_s`, `since_s` and `began_s` are monotonic times.

    `began_s` is when its batch began to be predicted; 0.0 before. `rows` is how many images it counts as: more than one
    where it is several rows of tensors.
    """

    image: Image
    deadline_s: float
    answer: asyncio.Future[Scores]
    since_s: float = field(default_factory=time.monotonic)
    began_s: float = 0.0
    rows: int = 1

    def wanted(self, now_s: float) -> bool:
        """Whether the caller still waits for the answer, and its deadline has not passed."""
        return not self.answer.done() and self.deadline_s >= now_s

    def fail(self, error: WorkerError) -> None:
        """Answer with an error, unless there is an answer already or the caller has left."""
        if not self.answer.done():
            self.answer.set_exception(error)


class ImageQueue:
    """The images before one engine; belongs to one event loop."""

    def __init__(self, *, numbers: ModelMetrics) -> None:
        self._numbers = numbers
        self._queue: OrderedDict[QueuedImage, None] = OrderedDict()
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    def add(self, images: Sequence[QueuedImage]) -> None:
        """Append images."""
        self._queue.update(dict.fromkeys(images))
        self._rows += rows_of(images)

    def remove(self, image: QueuedImage) -> None:
        """Remove an image that wants no answer any more, if it is still here."""
        if image in self._queue:
            del self._queue[image]
            self._rows -= image.rows

    def take(self, images: int) -> list[QueuedImage]:
        """Take the next batch, of at most `images`; empty if no image is left whose deadline can be met.

        Rows that belong together are more than that only where they are alone.
        """
        members: list[QueuedImage] = []
        room = images
        while self._queue and room > 0:
            first = next(iter(self._queue))
            if members and first.rows > room:
                break
            self.remove(first)
            taken = self.reject_expired([first])
            members += taken
            room -= rows_of(taken)
        return members

    def reject_expired(self, members: Sequence[QueuedImage]) -> list[QueuedImage]:
        """The images of `members` that still want an answer; the others get an error if their deadline has passed."""
        now_s = time.monotonic()
        wanted = [image for image in members if image.wanted(now_s)]
        for image in members:
            if image.deadline_s < now_s and not image.answer.done():
                self._numbers.rejected("expired", image.rows)
                image.fail(DeadlinePassed("The deadline passed before a prediction began."))
        return wanted

    def close(self) -> None:
        """Answer all images that wait with the error of a worker that closes."""
        reject_closing(tuple(self._queue))
        self._queue.clear()
        self._rows = 0


def rows_of(members: Sequence[QueuedImage]) -> int:
    """How many images the members count as."""
    return sum(image.rows for image in members)


def reject_closing(members: Sequence[QueuedImage]) -> None:
    """Answer all `members` with the error of a worker that closes."""
    for image in members:
        image.fail(Busy("This worker is closing: ask for another one.", retry_after_s=1))
