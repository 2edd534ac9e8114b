"""Asks all workers for their metrics every few seconds, one after the other, and keeps their figures.

Requests are spread over the time of a round and their rate is bounded, so that lookups are not held up and the cost
does not grow with the fleet: a large fleet is asked less often (docs/decisions/0047-figures.md).
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from registry.instances.instance import Instance
from registry.runtime.file_watch import WatchedFiles
from registry.runtime.tasks.supervise import supervised
from registry.runtime.tls.trust import TrustFiles
from registry.worker_figures.figures import (
    Interval,
    ServiceFigures,
    WorkerFigures,
    interval_between,
    service_figures,
    worker_figures,
)
from registry.worker_figures.history import History
from registry.worker_figures.metrics_reader import KEEPALIVE_S, MetricsReader, metrics_session
from registry.worker_figures.reading import Reading

logger = logging.getLogger(__name__)

EVERY_S = 5.0
"""The time from one round to the next where the fleet is small."""

FIRST_S = 1.0
"""The same while a worker has not been asked twice: rates need two readings."""

READ_PER_S = 40.0
"""How many workers are asked in a second by all lookup processes behind one port."""

CONNECTIONS_KEPT = int(READ_PER_S * KEEPALIVE_S)
"""Connections to workers that may be open, most of them idle."""

READ_TOGETHER = 4
"""So many are asked at the same time: one after the other each would cost half as much again, for want of caches."""

Instances = Callable[[], Mapping[str, Sequence[Instance]]]
"""The instances of all services now, by the services' names."""

Read = Callable[[Instance], Awaitable[Reading]]
"""Asks one instance for its metrics."""

_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Worker:
    """What is known of one worker after a round; `again`: it was asked before, too."""

    reading: Reading
    interval: Interval | None
    figures: WorkerFigures
    again: bool


class FiguresCollector:
    """The figures of all services. `processes`: how many processes collect, so that each asks so much less often.

    `clock` gives seconds since 1970.
    """

    def __init__(
        self, instances: Instances, read: Read, *, processes: int = 1, clock: Callable[[], float] = time.time
    ) -> None:
        self._instances = instances
        self._read = read
        self._clock = clock
        self._pause_s = processes / READ_PER_S
        self._workers: Mapping[_Key, _Worker] = {}
        self._figures: Mapping[str, ServiceFigures] = {}
        self._histories: dict[_Key, History] = {}

    def figures(self, service: str) -> ServiceFigures | None:
        """The figures of a service after the last round; None before the first one."""
        return self._figures.get(service)

    def history(self, service: str, worker: str = "") -> History:
        """The last 15 minutes of a service, or of one of its workers; empty where nothing is known of it."""
        return self._histories.get((service, worker)) or History()

    async def run(self) -> None:
        """Ask all workers, again and again."""
        while True:
            began_s = time.monotonic()
            by_service = self._instances()
            asked = [each for instances in by_service.values() for each in instances if each.tells_metrics]
            new = not all(self._asked_twice(each) for each in asked)
            round_s = max(FIRST_S if new or not asked else EVERY_S, len(asked) * self._pause_s)
            self._workers = await self._ask(asked, round_s)
            self._settle(by_service, self._clock())
            await asyncio.sleep(max(0.0, began_s + round_s - time.monotonic()))

    def _asked_twice(self, instance: Instance) -> bool:
        known = self._workers.get((instance.service, instance.id))
        return known is not None and known.again

    async def _ask(self, asked: Sequence[Instance], round_s: float) -> Mapping[_Key, _Worker]:
        """Ask these, the requests spread over the round; who has not answered by its end is silent."""
        tasks = [asyncio.create_task(self._ask_one(place, instance)) for place, instance in enumerate(asked)]
        try:
            if tasks:
                await asyncio.wait(tasks, timeout=max(round_s, EVERY_S))
        finally:
            for task in tasks:
                task.cancel()
            answers = await asyncio.gather(*tasks, return_exceptions=True)
        workers = {}
        for instance, answer in zip(asked, answers, strict=True):
            found = answer if isinstance(answer, _Worker) else self._silent(instance, answer)
            workers[instance.service, instance.id] = found
        return workers

    async def _ask_one(self, place: int, instance: Instance) -> _Worker:
        await asyncio.sleep(place // READ_TOGETHER * READ_TOGETHER * self._pause_s)
        reading = await self._read(instance)
        before = self._workers.get((instance.service, instance.id))
        interval = None if before is None else interval_between(before.reading, reading)
        return _Worker(reading, interval, worker_figures(reading, interval), before is not None)

    def _silent(self, instance: Instance, error: BaseException) -> _Worker:
        fault = "no answer in time"
        if not isinstance(error, asyncio.CancelledError):
            logger.error("The metrics of %s could not be read.", instance.address, exc_info=error)
            fault = "its metrics could not be read: the lookup service's log says why"
        reading = Reading(instance, None, fault, time.monotonic())
        again = (instance.service, instance.id) in self._workers
        return _Worker(reading, None, worker_figures(reading, None), again)

    def _settle(self, by_service: Mapping[str, Sequence[Instance]], now_s: float) -> None:
        """Work out the figures of every service, and add them to the histories."""
        found = {}
        for service, instances in by_service.items():
            workers = {each.id: known for each in instances if (known := self._workers.get((service, each.id)))}
            intervals = [each.interval for each in workers.values() if each.interval is not None]
            figures = service_figures(intervals, {id_: each.figures for id_, each in workers.items()}, at_s=now_s)
            found[service] = figures
            if figures.total is not None:
                self._history(service, "").add(now_s, figures.total, queue=figures.queue)
            for id_, worker in figures.workers.items():
                self._history(service, id_).add(now_s, worker.figures, queue=worker.queue)
        self._figures = found
        for history in self._histories.values():
            history.forget(now_s)
        self._histories = {key: history for key, history in self._histories.items() if len(history)}

    def _history(self, service: str, worker: str) -> History:
        return self._histories.setdefault((service, worker), History())


@asynccontextmanager
async def collecting_figures(
    instances: Instances, *, trust: TrustFiles, token: str | None, processes: int
) -> AsyncIterator[FiguresCollector]:
    """A collector that asks while the context is open. Raises SettingsError where a file of `trust` cannot be used.

    The files are read again when they change.
    """
    named = ", ".join(map(str, trust.paths))
    files: WatchedFiles[ssl.SSLContext | bool] = WatchedFiles(
        trust.paths, trust.verification, what=f"What requests for metrics trust and show, in {named},"
    )
    async with metrics_session() as http, AsyncExitStack() as stack:
        reader = MetricsReader(http, token=token, verification=lambda: files.value)
        collector = FiguresCollector(instances, reader.read, processes=processes)
        if trust.paths:
            await stack.enter_async_context(supervised("read changed certificates for metrics", files.follow))
        await stack.enter_async_context(supervised("collect the workers' figures", collector.run))
        yield collector
