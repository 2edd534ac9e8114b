"""The callbacks of event loops that take longer than they may: asyncio's slow-callback log, in processor time.

In debug mode asyncio logs a callback by the time on the wall, to which other threads and processes add. Here only the
time that the loop's thread computes counts, so that a busy machine makes no findings.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def slow_callbacks(above_s: float) -> Iterator[list[str]]:
    """A list that gets a line for each callback, of any loop of this process, that computes for longer."""
    found: list[str] = []
    original = asyncio.Handle._run

    def timed(self: asyncio.Handle) -> object:
        since_s = time.thread_time()
        text = repr(self) if self._callback is not None else ""  # type: ignore[attr-defined]  # asyncio's own name
        began_s = time.thread_time()
        try:
            return original(self)  # type: ignore[func-returns-value]  # as the loop calls it
        finally:
            if (took_s := time.thread_time() - began_s) > above_s:
                found.append(f"{took_s * 1000:.0f} ms ({(began_s - since_s) * 1000:.1f}): {text[:300]}")

    asyncio.Handle._run = timed  # type: ignore[method-assign, assignment]  # asyncio offers no hook without debug mode
    try:
        yield found
    finally:
        asyncio.Handle._run = original  # type: ignore[method-assign]
