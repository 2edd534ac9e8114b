"""Sources of batches that a test holds and lets go: what a core scheduler sees of a model."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from worker.batching.core_scheduler import CoreScheduler, CoreSlot

WITHIN_S = 10.0


class HeldSource:
    """Has `batches` batches; each notes `name` in `ran` and its slot, and lasts until `go` is set."""

    def __init__(self, name: str, batches: int, *, ran: list[str]) -> None:
        self.batches = batches
        self.slots: list[CoreSlot] = []
        self.begun = threading.Semaphore(0)
        self.go = threading.Event()
        self._name = name
        self._ran = ran
        self._taking = threading.Lock()

    @property
    def has_batch(self) -> bool:
        """See `BatchSource`."""
        return self.batches > 0

    def run_batch(self, slot: CoreSlot) -> None:
        """See `BatchSource`."""
        with self._taking:
            self.batches -= 1
            self.slots.append(slot)
            self._ran.append(self._name)
        self.begun.release()
        self.go.wait(WITHIN_S)


@asynccontextmanager
async def held(scheduler: CoreScheduler, cores: int | None = None) -> AsyncIterator[HeldSource]:
    """Another model that has this many cores, all if no number is given, until `go` is set or the context ends."""
    source = HeldSource("held", 1, ran=[])
    scheduled = scheduler.add(source, cores=cores)
    scheduler.request(scheduled)
    try:
        assert await asyncio.to_thread(source.begun.acquire, timeout=WITHIN_S)
        yield source
    finally:
        source.go.set()
        scheduler.remove(scheduled)
