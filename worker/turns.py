"""Several batchers, one set of cores: whose batch runs next.

One batch at a time, first come, first served: a batcher asks again only after its batch, so that those who have
work take turns. Background work (warming a new version) goes when nobody else waits, or has been patient enough.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

PATIENCE_S = 0.5
"""So long one step of background work lets others go first; without an end, a busy worker would never warm up."""


class Turns:
    """The gate before the cores; of one event loop. Work-conserving: who asks a free gate never waits."""

    def __init__(self) -> None:
        self._taken = False
        self._next: deque[asyncio.Future[None]] = deque()
        self._background: deque[asyncio.Future[None]] = deque()

    async def take(self, *, patience_s: float = 0.0) -> None:
        """Wait for a turn, which ends with `give_back`.

        With `patience_s` others go first, also those who come later, for at most so many seconds.
        """
        if not self._taken:
            self._taken = True
            return
        turn = asyncio.get_running_loop().create_future()
        (self._background if patience_s else self._next).append(turn)
        impatience = turn.get_loop().call_later(patience_s, self._promote, turn) if patience_s else None
        try:
            await turn
        except asyncio.CancelledError:
            self._forget(turn)
            raise
        finally:
            if impatience is not None:
                impatience.cancel()

    def give_back(self) -> None:
        """The turn is over: the next one's begins."""
        for line in (self._next, self._background):
            while line:
                turn = line.popleft()
                if not turn.done():
                    turn.set_result(None)
                    return
        self._taken = False

    def from_thread(
        self, loop: asyncio.AbstractEventLoop, *, patience_s: float = PATIENCE_S
    ) -> Callable[[], AbstractContextManager[None]]:
        """What a thread puts around each step of its background work, as the `between` of `measure_pace`."""

        @contextmanager
        def turn() -> Iterator[None]:
            asyncio.run_coroutine_threadsafe(self.take(patience_s=patience_s), loop).result()
            try:
                yield
            finally:
                loop.call_soon_threadsafe(self.give_back)

        return turn

    def _promote(self, turn: asyncio.Future[None]) -> None:
        if turn in self._background:
            self._background.remove(turn)
            self._next.append(turn)

    def _forget(self, turn: asyncio.Future[None]) -> None:
        """A turn that nobody waits for any more; one that was just given goes to the next."""
        if not turn.cancelled():
            self.give_back()
        for line in (self._next, self._background):
            if turn in line:
                line.remove(turn)
