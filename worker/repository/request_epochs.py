"""Which requests had begun by a given moment, so that what they use is kept until the last of them has ended.

A request takes its predictor at its beginning and uses it later. After a version swap the old predictor may be closed
when all requests that had begun before the swap have ended; later requests know only the new one.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager


class RequestEpochs:
    """The requests of one worker, counted by epoch; belongs to one event loop."""

    def __init__(self) -> None:
        self._epochs = [_Epoch()]

    def track(self) -> AbstractContextManager[object]:
        """A context around the whole of a request that begins now."""
        return self._epochs[-1]

    async def earlier_ended(self) -> None:
        """Return when every request that has begun by now has ended."""
        earlier = list(self._epochs)
        self._epochs.append(_Epoch())
        for epoch in earlier:
            while epoch.running:
                epoch.idle.clear()
                await epoch.idle.wait()
        self._epochs = [epoch for epoch in self._epochs if epoch not in earlier]


class _Epoch(AbstractContextManager[object]):
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
