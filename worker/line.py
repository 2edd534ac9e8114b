"""Decoded images that wait for the engine: in at one end, out as batches at the other.

Who is cancelled leaves from the middle at once; who is too late is told so when its turn comes. For an engine
that leaves the cores free, the next full batch is made one array while another one runs.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from worker.assembly import assemble
from worker.batching import Pace, batch_size
from worker.errors import DeadlinePassed, Overloaded, WorkerError
from worker.metrics import ModelNumbers

Image = NDArray[np.uint8]
Scores = NDArray[np.float32]


@dataclass(slots=True, eq=False)
class Waiting:
    """One image and whom to tell; `deadline_s` and `since_s` are monotonic times."""

    image: Image
    deadline_s: float
    answer: asyncio.Future[Scores]
    since_s: float = field(default_factory=time.monotonic)

    def fail(self, error: WorkerError) -> None:
        """Tell the error, unless there is an answer already or nobody listens any more."""
        if not self.answer.done():
            self.answer.set_exception(error)


@dataclass(slots=True)
class Batch:
    """Images that run together; `ready` is their one array, where it is made ahead."""

    members: list[Waiting]
    ready: Future[Sequence[Image]] | None = None

    @property
    def whole(self) -> bool:
        """Whether everybody in it still wants an answer, and can have it in time."""
        now_s = time.monotonic()
        return all(not waiting.answer.done() and waiting.deadline_s >= now_s for waiting in self.members)

    def closing(self) -> None:
        """Nobody in it will be answered."""
        for waiting in self.members:
            waiting.fail(Overloaded("This worker is closing: ask for another one.", retry_after_s=1))


class Line:
    """The images before one engine; of one event loop. `sizes` and `ahead` as for `Batcher`."""

    def __init__(self, pace: Pace, *, sizes: Sequence[int], ahead: bool, numbers: ModelNumbers) -> None:
        self._pace = pace
        self._sizes = tuple(sizes)
        self._numbers = numbers
        self._queue: OrderedDict[Waiting, None] = OrderedDict()
        self._next: Batch | None = None
        self._assembling = ThreadPoolExecutor(1, thread_name_prefix="assemble") if ahead else None

    def __len__(self) -> int:
        return len(self._queue) + (len(self._next.members) if self._next else 0)

    @property
    def full(self) -> bool:
        """Whether there is a full batch."""
        return self._next is not None or len(self._queue) >= self._pace.cap

    def add(self, waiting: Sequence[Waiting]) -> None:
        """At the end of the line."""
        self._queue.update(dict.fromkeys(waiting))

    def forget(self, waiting: Waiting) -> None:
        """One that wants no answer any more, wherever it is."""
        self._queue.pop(waiting, None)
        if self._next is not None and waiting in self._next.members:
            self._next.members.remove(waiting)
            self._next.ready = None  # it holds that one, too

    def take(self, images: int) -> Batch:
        """The next batch, of at most so many; empty where nobody is left who can have an answer in time."""
        batch, self._next = self._next, None
        if batch is None:
            return Batch(self._first([], images))
        return batch if batch.ready and batch.whole else Batch(self._first(self._wanted(batch.members), images))

    def assemble_ahead(self) -> None:
        """Where that is wanted, and a full batch waits: start to make it one array."""
        if self._assembling is not None and self._next is None and self.full:
            members = self._first([], batch_size(self._pace, queued=len(self._queue), sizes=self._sizes))
            images = [waiting.image for waiting in members]
            self._next = Batch(members, self._assembling.submit(assemble, images, self._sizes)) if members else None

    def close(self) -> None:
        """Whoever still waits is told that this worker closes."""
        for batch in (Batch(list(self._queue)), self._next):
            if batch is not None:
                batch.closing()
        self._queue.clear()
        self._next = None
        if self._assembling is not None:
            self._assembling.shutdown(wait=False, cancel_futures=True)

    def _first(self, members: list[Waiting], images: int) -> list[Waiting]:
        """`members` and the first in the queue, as many as are to be in one batch."""
        while self._queue and len(members) < images:
            members += self._wanted([self._queue.popitem(last=False)[0]])
        return members

    def _wanted(self, members: Sequence[Waiting]) -> list[Waiting]:
        """Those of `members` who still want an answer; who is too late for one is told so."""
        now_s = time.monotonic()
        wanted = []
        for waiting in members:
            if waiting.deadline_s < now_s and not waiting.answer.done():
                self._numbers.rejected("expired")
                waiting.fail(DeadlinePassed("The deadline passed before a prediction began."))
            if not waiting.answer.done():
                wanted.append(waiting)
        return wanted
