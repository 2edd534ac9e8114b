"""Threads that go on with what follows from their work, and wait only when nothing does.

A core whose thread waits for another one to wake may stand idle for milliseconds, though others have work: Linux moves
a thread that waits for one core to another only now and then (docs/decisions/0053-cores-take-batches.md).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


class PredictThreads(Generic[T]):
    """Threads that call `work`, first with what `run` gives them and then with what it returns, until that is None.

    As many as are needed at the same time are started, and `idle_most` of them wait for more.
    """

    def __init__(self, work: Callable[[T], T | None], *, idle_most: int) -> None:
        """`work` must not raise."""
        self._work = work
        self._idle_most = idle_most
        self._jobs: SimpleQueue[T | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0
        self._started = 0

    def run(self, job: T) -> None:
        """Call `work` with `job` in a thread that waits, or in a new one; RuntimeError if there can be none."""
        with self._lock:
            waits, number = self._idle > 0, self._started
            if waits:
                self._idle -= 1
            else:
                self._started += 1
        if waits:
            self._jobs.put(job)
        else:
            threading.Thread(target=self._serve, args=[[job]], name=f"predict_{number}").start()

    def close(self) -> None:
        """End the threads, those that work as soon as they have nothing to do, without waiting for them."""
        with self._lock:
            idle, self._idle, self._idle_most = self._idle, 0, 0
        for _ in range(idle):
            self._jobs.put(None)

    def _serve(self, first: list[T]) -> None:
        job: T | None = first.pop()  # a thread keeps its arguments
        while job is not None:
            while job is not None:
                job = self._work(job)
            with self._lock:
                if self._idle >= self._idle_most:
                    return
                self._idle += 1
            job = self._jobs.get()
