"""Several batchers share one set of cores: which of them runs its next batch, on how many cores.

First come, first served: a batcher asks again only after its batch, so batchers that have work alternate. A request
for all cores waits until all are free, and later requests wait behind it. Background work (warming a new version) runs
when nothing else waits, or when it has waited for its patience. A batch that takes very long, or never ends, blocks no
other: after `held_at_most_s` it shares its cores.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import NamedTuple

PATIENCE_S = 0.5
"""How long one step of background work lets others go first; without a limit a busy worker would never warm up."""

HELD_AT_MOST_S = 1.0
"""How long a slot blocks others: a model that hangs must not stop the other models."""


@dataclass(slots=True, eq=False)
class CoreSlot:
    """The right to compute on `cores` cores, since a time of the event loop's clock; `release` returns it."""

    cores: int
    since_s: float


class _Request(NamedTuple):
    granted: asyncio.Future[CoreSlot]
    cores: int


class CoreScheduler:
    """Grants slots on the cores; belongs to one event loop. Work-conserving: free cores are granted at once."""

    def __init__(self, cores: int = 1, *, held_at_most_s: float = HELD_AT_MOST_S) -> None:
        self.cores = cores
        self._free = cores
        self._held_at_most_s = held_at_most_s
        self._held: dict[CoreSlot, None] = {}  # the longest held first
        self._overrun: asyncio.TimerHandle | None = None
        self._waiting: deque[_Request] = deque()
        self._background: deque[_Request] = deque()

    @property
    def idle(self) -> bool:
        """Whether nobody has a core or waits for one."""
        return not (self._held or self._waiting or self._background)

    async def acquire(self, cores: int | None = None, *, patience_s: float = 0.0) -> CoreSlot:
        """Wait for a slot on `cores` cores, on all cores if no number is given; `release` ends it.

        With `patience_s` other requests go first, also later ones, for at most that many seconds.
        """
        loop = asyncio.get_running_loop()
        request = _Request(loop.create_future(), min(cores or self.cores, self.cores))
        if not self._waiting and request.cores <= self._free:
            return self._grant(request.cores, loop)
        (self._background if patience_s else self._waiting).append(request)
        self._watch_overruns(loop)
        impatience = loop.call_later(patience_s, self._promote, request) if patience_s else None
        try:
            return await request.granted
        except asyncio.CancelledError:
            self._withdraw(request)
            raise
        finally:
            if impatience is not None:
                impatience.cancel()

    def renew(self, slot: CoreSlot) -> bool:
        """Let a slot go on as if it had just begun, if no request waits; returns whether that was so."""
        if self._waiting or self._background or slot not in self._held:
            return False
        del self._held[slot]
        slot.since_s = asyncio.get_running_loop().time()
        self._held[slot] = None
        return True

    def widen(self, slot: CoreSlot) -> bool:
        """Let a slot have all cores, if no other slot or request needs any; returns whether that was so."""
        if self._waiting or slot not in self._held or slot.cores + self._free < self.cores:
            return False
        slot.cores, self._free = self.cores, 0
        return True

    def release(self, slot: CoreSlot) -> None:
        """End a slot and grant its cores to those that wait, unless they have them because it took too long."""
        if slot in self._held:
            self._end(slot)
            self._grant_waiting()

    def background_steps(
        self, loop: asyncio.AbstractEventLoop, *, patience_s: float = PATIENCE_S
    ) -> Callable[[], AbstractContextManager[None]]:
        """A context for each step of a thread's background work, which waits for a slot on all cores of `loop`."""

        @contextmanager
        def step() -> Iterator[None]:
            slot = asyncio.run_coroutine_threadsafe(self.acquire(patience_s=patience_s), loop).result()
            try:
                yield
            finally:
                loop.call_soon_threadsafe(self.release, slot)

        return step

    def _grant(self, cores: int, loop: asyncio.AbstractEventLoop) -> CoreSlot:
        slot = CoreSlot(cores, loop.time())
        self._held[slot] = None
        self._free -= cores
        return slot

    def _end(self, slot: CoreSlot) -> None:
        del self._held[slot]
        self._free += slot.cores

    def _grant_waiting(self) -> None:
        """Grant slots to the requests that wait, in their order, as far as there are cores for them."""
        for requests in (self._waiting, self._background):
            while requests and (requests[0].cores <= self._free or requests[0].granted.done()):
                request = requests.popleft()
                if not request.granted.done():
                    request.granted.set_result(self._grant(request.cores, request.granted.get_loop()))
            if requests:
                self._watch_overruns(requests[0].granted.get_loop())
                return

    def _watch_overruns(self, loop: asyncio.AbstractEventLoop) -> None:
        """While a request waits, a timer ends slots that are held for too long."""
        if self._overrun is None and self._held:
            longest = next(iter(self._held))
            self._overrun = loop.call_at(longest.since_s + self._held_at_most_s, self._end_overdue, loop)

    def _end_overdue(self, loop: asyncio.AbstractEventLoop) -> None:
        self._overrun = None
        if self._waiting or self._background:
            for slot in [slot for slot in self._held if loop.time() >= slot.since_s + self._held_at_most_s]:
                self._end(slot)
            self._grant_waiting()

    def _promote(self, request: _Request) -> None:
        """Background work that has waited for its patience queues like any other request."""
        if request in self._background:
            self._background.remove(request)
            self._waiting.append(request)
            self._grant_waiting()

    def _withdraw(self, request: _Request) -> None:
        """Remove a cancelled request; a slot that it was just granted goes to the next one."""
        if not request.granted.cancelled():
            self.release(request.granted.result())
        for requests in (self._waiting, self._background):
            if request in requests:
                requests.remove(request)
        self._grant_waiting()
