"""Several batchers, one set of cores: whose batch runs next.

One batch at a time, first come, first served: a batcher asks again only after its batch, so that those who have
work take turns. Background work (warming a new version) goes when nobody else waits, or has been patient enough.
A batch that takes very long, or for ever, keeps nobody else waiting: it then shares the cores.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

PATIENCE_S = 0.5
"""So long one step of background work lets others go first; without an end, a busy worker would never warm up."""

HELD_AT_MOST_S = 1.0
"""So long a turn keeps others waiting: one model that hangs must not take the others with it."""


class Turn:
    """One's time on the cores; handed back by `Turns.give_back`."""


class Turns:
    """The gate before the cores; of one event loop. Work-conserving: who asks a free gate never waits."""

    def __init__(self, *, held_at_most_s: float = HELD_AT_MOST_S) -> None:
        self._held_at_most_s = held_at_most_s
        self._held: Turn | None = None
        self._since_s = 0.0
        self._overrun: asyncio.TimerHandle | None = None
        self._next: deque[asyncio.Future[Turn]] = deque()
        self._background: deque[asyncio.Future[Turn]] = deque()

    async def take(self, *, patience_s: float = 0.0) -> Turn:
        """Wait for a turn, which ends with `give_back`.

        With `patience_s` others go first, also those who come later, for at most so many seconds.
        """
        loop = asyncio.get_running_loop()
        if self._held is None:
            return self._begin(loop)
        given: asyncio.Future[Turn] = loop.create_future()
        (self._background if patience_s else self._next).append(given)
        self._keep_watch(loop)
        impatience = loop.call_later(patience_s, self._promote, given) if patience_s else None
        try:
            return await given
        except asyncio.CancelledError:
            self._forget(given)
            raise
        finally:
            if impatience is not None:
                impatience.cancel()

    def give_back(self, turn: Turn) -> None:
        """The turn is over: the next one's begins, unless it has begun because this one took too long."""
        if turn is self._held:
            self._pass_on()

    def from_thread(
        self, loop: asyncio.AbstractEventLoop, *, patience_s: float = PATIENCE_S
    ) -> Callable[[], AbstractContextManager[None]]:
        """What a thread puts around each step of its background work, as the `between` of `measure_pace`."""

        @contextmanager
        def step() -> Iterator[None]:
            turn = asyncio.run_coroutine_threadsafe(self.take(patience_s=patience_s), loop).result()
            try:
                yield
            finally:
                loop.call_soon_threadsafe(self.give_back, turn)

        return step

    def _begin(self, loop: asyncio.AbstractEventLoop) -> Turn:
        self._held, self._since_s = Turn(), loop.time()
        return self._held

    def _pass_on(self) -> None:
        self._held = None
        if self._overrun is not None:
            self._overrun.cancel()
            self._overrun = None
        for line in (self._next, self._background):
            while line:
                given = line.popleft()
                if not given.done():
                    loop = given.get_loop()
                    given.set_result(self._begin(loop))
                    if self._next or self._background:
                        self._keep_watch(loop)
                    return

    def _keep_watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Somebody waits: see to it that the turn that is held ends for the others in time."""
        if self._overrun is None:
            self._overrun = loop.call_at(self._since_s + self._held_at_most_s, self._pass_on)

    def _promote(self, given: asyncio.Future[Turn]) -> None:
        if given in self._background:
            self._background.remove(given)
            self._next.append(given)

    def _forget(self, given: asyncio.Future[Turn]) -> None:
        """A turn that nobody waits for any more; one that was just given goes to the next."""
        if not given.cancelled():
            self.give_back(given.result())
        for line in (self._next, self._background):
            if given in line:
                line.remove(given)
