"""Several batchers, one set of cores: whose batch runs next, on how many of them.

First come, first served: a batcher asks again only after its batch, so that those who have work take turns. Who asks
for all cores waits until all are free, and those who come later wait behind it. Background work (warming a new
version) goes when nobody else waits, or has been patient enough. A batch that takes very long, or for ever, keeps
nobody else waiting: it then shares the cores.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import NamedTuple

PATIENCE_S = 0.5
"""So long one step of background work lets others go first; without an end, a busy worker would never warm up."""

HELD_AT_MOST_S = 1.0
"""So long a turn keeps others waiting: one model that hangs must not take the others with it."""


@dataclass(slots=True, eq=False)
class Turn:
    """One's time on `cores` cores, since a time of the event loop's clock; handed back by `Turns.give_back`."""

    cores: int
    since_s: float


class _Asking(NamedTuple):
    given: asyncio.Future[Turn]
    cores: int


class Turns:
    """The gate before the cores; of one event loop. Work-conserving: who asks a free gate never waits."""

    def __init__(self, cores: int = 1, *, held_at_most_s: float = HELD_AT_MOST_S) -> None:
        self.cores = cores
        self._free = cores
        self._held_at_most_s = held_at_most_s
        self._held: dict[Turn, None] = {}  # the longest held first
        self._overrun: asyncio.TimerHandle | None = None
        self._next: deque[_Asking] = deque()
        self._background: deque[_Asking] = deque()

    async def take(self, cores: int | None = None, *, patience_s: float = 0.0) -> Turn:
        """Wait for a turn on so many cores, on all if no number is given; it ends with `give_back`.

        With `patience_s` others go first, also those who come later, for at most so many seconds.
        """
        loop = asyncio.get_running_loop()
        asking = _Asking(loop.create_future(), min(cores or self.cores, self.cores))
        if not self._next and asking.cores <= self._free:
            return self._begin(asking.cores, loop)
        (self._background if patience_s else self._next).append(asking)
        self._keep_watch(loop)
        impatience = loop.call_later(patience_s, self._promote, asking) if patience_s else None
        try:
            return await asking.given
        except asyncio.CancelledError:
            self._forget(asking)
            raise
        finally:
            if impatience is not None:
                impatience.cancel()

    def again(self, turn: Turn) -> bool:
        """Let a turn go on as if it had just begun, if nobody wants one; whether that was so."""
        if self._next or self._background or turn not in self._held:
            return False
        del self._held[turn]
        turn.since_s = asyncio.get_running_loop().time()
        self._held[turn] = None
        return True

    def widen(self, turn: Turn) -> bool:
        """Let a turn have all cores, if nobody else has or wants any; whether that was so."""
        if self._next or turn not in self._held or turn.cores + self._free < self.cores:
            return False
        turn.cores, self._free = self.cores, 0
        return True

    def give_back(self, turn: Turn) -> None:
        """The turn is over: others' begin, unless they have begun because this one took too long."""
        if turn in self._held:
            self._end(turn)
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

    def _begin(self, cores: int, loop: asyncio.AbstractEventLoop) -> Turn:
        turn = Turn(cores, loop.time())
        self._held[turn] = None
        self._free -= cores
        return turn

    def _end(self, turn: Turn) -> None:
        del self._held[turn]
        self._free += turn.cores

    def _pass_on(self) -> None:
        """Turns for those who wait, in their order, as far as there are cores for them."""
        for line in (self._next, self._background):
            while line and (line[0].cores <= self._free or line[0].given.done()):
                asking = line.popleft()
                if not asking.given.done():
                    asking.given.set_result(self._begin(asking.cores, asking.given.get_loop()))
            if line:
                self._keep_watch(line[0].given.get_loop())
                return

    def _keep_watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Somebody waits: see to it that the turns that are held end for the others in time."""
        if self._overrun is None and self._held:
            longest = next(iter(self._held))
            self._overrun = loop.call_at(longest.since_s + self._held_at_most_s, self._end_the_overdue, loop)

    def _end_the_overdue(self, loop: asyncio.AbstractEventLoop) -> None:
        self._overrun = None
        if self._next or self._background:
            for turn in [turn for turn in self._held if loop.time() >= turn.since_s + self._held_at_most_s]:
                self._end(turn)
            self._pass_on()

    def _promote(self, asking: _Asking) -> None:
        if asking in self._background:
            self._background.remove(asking)
            self._next.append(asking)
            self._pass_on()

    def _forget(self, asking: _Asking) -> None:
        """A turn that nobody waits for any more; one that was just given goes to the next."""
        if not asking.given.cancelled():
            self.give_back(asking.given.result())
        for line in (self._next, self._background):
            if asking in line:
                line.remove(asking)
        self._pass_on()
