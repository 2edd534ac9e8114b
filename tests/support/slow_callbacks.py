"""The callbacks of event loops that take longer than they may: asyncio's slow-callback log, in processor time.

In debug mode asyncio logs a callback by the time on the wall, to which other threads and processes add. Here the time
that the loop's thread computes counts, garbage collection in it included, so that a busy machine makes no findings.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class _CollectionTime:
    """A callback of the garbage collector; `spent_s`: processor time that one thread has spent on collecting."""

    def __init__(self) -> None:
        self.spent_s = 0.0
        self._thread = threading.get_ident()
        self._began_s = 0.0

    def __call__(self, phase: str, _: dict[str, int]) -> None:
        if threading.get_ident() == self._thread:
            if phase == "start":
                self._began_s = time.thread_time()
            else:
                self.spent_s += time.thread_time() - self._began_s


@contextmanager
def slow_callbacks(above_s: float) -> Iterator[list[str]]:
    """A list that gets a line for each callback, of this thread's event loop, that computes for longer."""
    found: list[str] = []
    original, collecting, thread = asyncio.Handle._run, _CollectionTime(), threading.get_ident()

    def timed(self: asyncio.Handle) -> object:
        callback = self._callback  # type: ignore[attr-defined]  # asyncio's own name
        computed_s, collected_s, began_s = time.thread_time(), collecting.spent_s, time.monotonic()
        try:
            return original(self)  # type: ignore[func-returns-value]  # as the loop calls it
        finally:
            if (took_s := time.thread_time() - computed_s) > above_s and threading.get_ident() == thread:
                found.append(
                    f"{took_s * 1000:.0f} ms of processor time, "
                    f"{(collecting.spent_s - collected_s) * 1000:.0f} of them garbage collection, and "
                    f"{(time.monotonic() - began_s) * 1000:.0f} ms on the wall: {_described(callback)}"
                )

    asyncio.Handle._run = timed  # type: ignore[method-assign, assignment]  # asyncio offers no hook without debug mode
    gc.callbacks.append(collecting)
    try:
        yield found
    finally:
        gc.callbacks.remove(collecting)
        asyncio.Handle._run = original  # type: ignore[method-assign]


def _described(callback: object) -> str:
    """The callback, or the task of which it is a step."""
    task = getattr(callback, "__self__", None)
    return f"a step of {task!r}"[:300] if isinstance(task, asyncio.Task) else repr(callback)[:300]
