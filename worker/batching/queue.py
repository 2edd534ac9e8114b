"""Decoded images that wait for the engine: in at one end, out as batches at the other.

Who is cancelled leaves from the middle at once; who is too late is told so when its turn comes.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from worker.errors import DeadlinePassed, Overloaded, WorkerError
from worker.telemetry.metrics import ModelMetrics

Image = NDArray[np.uint8]
Scores = NDArray[np.float32]


@dataclass(slots=True, eq=False)
class Waiting:
    """One image and whom to tell; `deadline_s` and `since_s` are monotonic times."""

    image: Image
    deadline_s: float
    answer: asyncio.Future[Scores]
    since_s: float = field(default_factory=time.monotonic)

    def wanted(self, now_s: float) -> bool:
        """Whether somebody still wants the answer, and can have it in time."""
        return not self.answer.done() and self.deadline_s >= now_s

    def fail(self, error: WorkerError) -> None:
        """Tell the error, unless there is an answer already or nobody listens any more."""
        if not self.answer.done():
            self.answer.set_exception(error)


class Line:
    """The images before one engine; of one event loop."""

    def __init__(self, *, numbers: ModelMetrics) -> None:
        self._numbers = numbers
        self._queue: OrderedDict[Waiting, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, waiting: Sequence[Waiting]) -> None:
        """At the end of the line."""
        self._queue.update(dict.fromkeys(waiting))

    def forget(self, waiting: Waiting) -> None:
        """One that wants no answer any more, if it is still here."""
        self._queue.pop(waiting, None)

    def take(self, images: int) -> list[Waiting]:
        """The next batch, of at most so many; empty where nobody is left who can have an answer in time."""
        members: list[Waiting] = []
        while self._queue and len(members) < images:
            members += self.refuse_late([self._queue.popitem(last=False)[0]])
        return members

    def refuse_late(self, members: Sequence[Waiting]) -> list[Waiting]:
        """Those of `members` who still want an answer; who is too late for one is told so."""
        now_s = time.monotonic()
        wanted = [waiting for waiting in members if waiting.wanted(now_s)]
        for waiting in members:
            if waiting.deadline_s < now_s and not waiting.answer.done():
                self._numbers.rejected("expired")
                waiting.fail(DeadlinePassed("The deadline passed before a prediction began."))
        return wanted

    def close(self) -> None:
        """Whoever still waits is told that this worker closes."""
        refuse_closing(tuple(self._queue))
        self._queue.clear()


def refuse_closing(members: Sequence[Waiting]) -> None:
    """None of them will be answered."""
    for waiting in members:
        waiting.fail(Overloaded("This worker is closing: ask for another one.", retry_after_s=1))
