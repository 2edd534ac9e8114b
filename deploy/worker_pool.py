"""The workers that `p2p up` runs: their number is changed while they serve, and each one's end is noticed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from registry.runtime.processes.children import ChildProcess, WriteLine

PATIENCE_S = 40.0
"""How long a worker may take to stop: longer than its drain grace and the time for requests in flight together."""


class EndedEarlyError(Exception):
    """A child process ended by itself, and what is left cannot serve."""


class WorkerPool:
    """Worker processes with numbers that are not used again; `start(number)` starts one.

    `write_line` takes what there is to say of a worker that ends by itself.
    """

    def __init__(self, start: Callable[[int], Awaitable[ChildProcess]], write_line: WriteLine) -> None:
        self._start = start
        self._write_line = write_line
        self._workers: dict[ChildProcess, asyncio.Task[None]] = {}
        self._numbers = 0
        self._changing = asyncio.Lock()
        self._leaving: set[asyncio.Task[int]] = set()
        self._none_left = asyncio.Event()
        self._last_outcome = ""

    def __len__(self) -> int:
        """How many run."""
        return len(self._workers)

    async def resize(self, count: int) -> None:
        """Start or stop workers, the youngest first, until `count` (at least 1) run; those that stop drain first."""
        async with self._changing:
            while len(self) < count:
                self._numbers += 1
                worker = await self._start(self._numbers)
                self._workers[worker] = asyncio.create_task(self._notice_end(worker), name=f"end of {worker.name}")
            await self._stop(list(self._workers)[count:])

    async def stop(self) -> None:
        """Stop all workers, and wait for those that are being stopped already."""
        await self._stop(list(self._workers))

    async def some_run(self) -> None:
        """Wait while workers run. Raises EndedEarlyError when the last one has ended by itself."""
        await self._none_left.wait()
        raise EndedEarlyError(f"{self._last_outcome}: see its last lines above.")

    async def _stop(self, workers: list[ChildProcess]) -> None:
        for worker in workers:
            self._workers.pop(worker).cancel()
            leaving = asyncio.create_task(worker.stop(patience_s=PATIENCE_S), name=f"stop {worker.name}")
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)
        if self._leaving:
            await asyncio.wait(self._leaving)  # who cancels this does not cancel the stopping: workers finish

    async def _notice_end(self, worker: ChildProcess) -> None:
        await worker.ended()
        del self._workers[worker]
        if self._workers:
            self._write_line(f"{worker.outcome}; the others go on.")
            return
        self._last_outcome = worker.outcome
        self._none_left.set()
