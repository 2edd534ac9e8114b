"""Which requests had begun by a moment, so that what they may hold is kept until the last of them has ended.

A request takes its predictor at its beginning and uses it later. After another version has taken over, the
old one may be closed when all requests that began before have ended; those that began since know only the new.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager


class Requests:
    """The requests of one worker, counted by generation; on one event loop."""

    def __init__(self) -> None:
        self._generations = [_Generation()]

    def one(self) -> AbstractContextManager[object]:
        """Around the whole of a request, which begins now."""
        return self._generations[-1]

    async def begun_have_ended(self) -> None:
        """Return when every request that has begun by now has ended."""
        before = list(self._generations)
        self._generations.append(_Generation())
        for generation in before:
            while generation.running:
                generation.idle.clear()
                await generation.idle.wait()
        self._generations = [g for g in self._generations if g not in before]


class _Generation(AbstractContextManager[object]):
    """The requests that began between two moments; entered once for each of them."""

    __slots__ = ("idle", "running")

    def __init__(self) -> None:
        self.running = 0
        self.idle = asyncio.Event()

    def __enter__(self) -> None:
        self.running += 1

    def __exit__(self, *_: object) -> None:
        self.running -= 1
        if not self.running:
            self.idle.set()
