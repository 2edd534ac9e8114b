"""Several models share one set of cores: a core that becomes free takes the next batch of the model whose turn it is.

First come, first served: a model queues again only when a batch of it has been taken, so models that have work
alternate. A model that predicts on all cores waits until all are free, and later ones wait behind it. Background work
(warming a new version) runs when nothing else waits, or when it has waited for its patience. A batch that takes very
long, or never ends, blocks no other: after `held_at_most_s` it shares its cores.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from worker.batching.predict_threads import PredictThreads

logger = logging.getLogger(__name__)

PATIENCE_S = 0.5
"""How long one step of background work lets others go first; without a limit a busy worker would never warm up."""

HELD_AT_MOST_S = 1.0
"""How long a slot blocks others: a model that hangs must not stop the other models."""

NO_THREAD_S = 0.5
"""After how long a batch is tried again for which the system has no room for a thread."""


@dataclass(slots=True, eq=False)
class CoreSlot:
    """The right to compute on `cores` cores, since a monotonic time."""

    cores: int
    since_s: float


class BatchSource(Protocol):
    """A model's batches; both are called from any thread."""

    @property
    def has_batch(self) -> bool:
        """Whether images wait to be taken."""
        ...

    def run_batch(self, slot: CoreSlot) -> None:
        """In a thread that has the cores of `slot`: take the next batch, if one is left, and run it. Never raises."""
        ...


@dataclass(slots=True, eq=False)
class ScheduledSource:
    """A source's part in the scheduler: at most `abreast` batches at the same time, each on `cores` cores."""

    source: BatchSource
    cores: int
    abreast: int
    running: int = 0
    queued: bool = False
    ended: bool = False


@dataclass(slots=True, eq=False)
class _Step:
    """A step of background work on all cores, and its slot once it is granted."""

    cores: int
    granted: threading.Event = field(default_factory=threading.Event)
    slot: CoreSlot | None = None


class _Grant(NamedTuple):
    """A batch that begins."""

    scheduled: ScheduledSource
    slot: CoreSlot


class CoreScheduler:
    """Grants slots on the cores, from any thread. Work-conserving: free cores are granted at once."""

    def __init__(self, cores: int = 1, *, held_at_most_s: float = HELD_AT_MOST_S) -> None:
        self.cores = cores
        self._free = cores
        self._held_at_most_s = held_at_most_s
        self._lock = threading.Lock()
        self._held: dict[CoreSlot, None] = {}  # the longest held first
        self._waiting: deque[ScheduledSource | _Step] = deque()
        self._background: deque[_Step] = deque()
        self._sources = 0
        self._threads = self._new_threads()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watched = False

    @property
    def idle(self) -> bool:
        """Whether nobody has a core or waits for one."""
        return not (self._held or self._waiting or self._background)

    def add(self, source: BatchSource, *, cores: int | None = None, abreast: int = 1) -> ScheduledSource:
        """Let a source take turns on `cores` cores, all if no number is given, until `remove`. On the event loop."""
        with self._lock:
            self._loop = asyncio.get_running_loop()
            self._sources += 1
            return ScheduledSource(source, min(cores or self.cores, self.cores), abreast)

    def remove(self, scheduled: ScheduledSource) -> None:
        """No batch of this source begins any more; those that run go on. The threads end with the last source."""
        with self._lock:
            scheduled.ended = True
            if scheduled.queued:
                self._waiting.remove(scheduled)
            self._sources -= 1
            if not self._sources:
                self._threads.close()
                self._threads = self._new_threads()
        self._begin_waiting()

    def request(self, scheduled: ScheduledSource) -> None:
        """Let the source's next batch be taken when its turn comes; needed again for images that arrive later."""
        if scheduled.queued or scheduled.running >= scheduled.abreast:
            return  # the batch that is to be taken, or the end of one that runs, finds the images
        with self._lock:
            self._queue(scheduled)
        self._begin_waiting()

    def widen(self, slot: CoreSlot) -> bool:
        """Let a slot have all cores, if no other slot or source needs any; returns whether that was so."""
        with self._lock:
            if self._waiting or slot not in self._held or slot.cores + self._free < self.cores:
                return False
            slot.cores, self._free = self.cores, 0
            return True

    @contextmanager
    def background_step(self, *, patience_s: float = PATIENCE_S) -> Iterator[None]:
        """Background work in the calling thread, on all cores; others go first, also later ones, for `patience_s`."""
        step = _Step(self.cores)
        with self._lock:
            self._background.append(step)
        self._begin_waiting()
        if not step.granted.wait(patience_s):
            with self._lock:
                self._promote(step)
            self._begin_waiting()
            step.granted.wait()
        try:
            yield
        finally:
            assert step.slot is not None, "it was granted"
            with self._lock:
                self._release(step.slot)
            self._begin_waiting()

    def _end_overdue(self) -> None:
        """On the event loop, while something waits: others get the cores of slots that are held for too long."""
        with self._lock:
            self._watched = False
            if self._waiting:
                until_s = time.monotonic() - self._held_at_most_s
                for slot in [slot for slot in self._held if slot.since_s <= until_s]:
                    self._release(slot)
        self._begin_waiting()

    def _new_threads(self) -> PredictThreads[_Grant]:
        return PredictThreads(self._run, idle_most=self.cores)

    def _run(self, grant: _Grant) -> _Grant | None:
        """In a thread: run a batch; the one that follows it, of whichever source."""
        scheduled, slot = grant
        scheduled.source.run_batch(slot)
        with self._lock:
            scheduled.running -= 1
            self._release(slot)
            self._queue(scheduled)
            granted = self._grant()
            first, others = (granted[0], granted[1:]) if granted else (None, [])
        self._begin(others)
        return first

    def _begin_waiting(self) -> None:
        """After a change: begin what waits, as far as there are cores for it."""
        with self._lock:
            granted = self._grant()
        self._begin(granted)

    def _begin(self, granted: list[_Grant]) -> None:
        for grant in granted:
            try:
                self._threads.run(grant)
            except RuntimeError as error:
                logger.error("A batch has no thread: trying again in %g s. %s.", NO_THREAD_S, error)
                with self._lock:
                    grant.scheduled.running -= 1
                    self._release(grant.slot)
                self._later(NO_THREAD_S, self.request, grant.scheduled)

    def _later(self, after_s: float, callback: Callable[..., None], *arguments: object) -> None:
        """Call back on the event loop, unless that has ended."""
        if self._loop is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._loop.call_later, after_s, callback, *arguments)

    # What follows is called with the lock.

    def _queue(self, scheduled: ScheduledSource) -> None:
        if (
            not (scheduled.queued or scheduled.ended)
            and scheduled.running < scheduled.abreast
            and scheduled.source.has_batch
        ):
            scheduled.queued = True
            self._waiting.append(scheduled)

    def _grant(self) -> list[_Grant]:
        """Slots for those that wait, in their order, as far as there are cores for them."""
        granted = []
        while self._waiting and self._waiting[0].cores <= self._free:
            first = self._waiting.popleft()
            slot = self._slot(first.cores)
            if isinstance(first, ScheduledSource):
                first.queued = False
                first.running += 1
                granted.append(_Grant(first, slot))
            else:
                first.slot = slot
                first.granted.set()
        while not self._waiting and self._background and self._background[0].cores <= self._free:
            step = self._background.popleft()
            step.slot = self._slot(step.cores)
            step.granted.set()
        self._watch()
        return granted

    def _slot(self, cores: int) -> CoreSlot:
        slot = CoreSlot(cores, time.monotonic())
        self._held[slot] = None
        self._free -= cores
        return slot

    def _release(self, slot: CoreSlot) -> None:
        """End a slot, unless others have its cores already because it took too long."""
        if slot in self._held:
            del self._held[slot]
            self._free += slot.cores

    def _promote(self, step: _Step) -> None:
        """Background work that has waited for its patience queues like any other."""
        if step in self._background:
            self._background.remove(step)
            self._waiting.append(step)

    def _watch(self) -> None:
        """While something waits, a timer of the event loop looks at the slot that is held the longest."""
        if self._waiting and self._held and not self._watched:
            self._watched = True
            left_s = next(iter(self._held)).since_s + self._held_at_most_s - time.monotonic()
            self._later(max(0.0, left_s), self._end_overdue)
