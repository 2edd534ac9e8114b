"""Figures of made-up workers that have been busy for a quarter of an hour, which takes no time to wait for."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Sequence

from registry.instances.instance import Instance
from registry.worker_figures.collector import FiguresCollector
from registry.worker_figures.metrics_text import ModelMetrics
from registry.worker_figures.reading import Reading
from registry.worker_figures.request_counts import RequestCounts
from tests.support.event_loops import virtual_time

PASSED_S = 900.0

_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, math.inf)
_SHARES = (0.0, 0.0, 0.05, 0.25, 0.7, 0.9, 0.97, 0.992, 0.999, 1.0, 1.0)


def busy_fleet(instances: Sequence[Instance], *, silent: Sequence[str] = ()) -> FiguresCollector:
    """The collector of these instances after PASSED_S; those whose ids are `silent` have told nothing.

    To be called where no event loop runs.
    """
    services = {each.service: [i for i in instances if i.service == each.service] for each in instances}
    began_s = time.time() - PASSED_S
    counted: dict[str, tuple[float, float]] = {}

    async def read(instance: Instance) -> Reading:
        now_s = time.monotonic()
        if instance.id in silent:
            return Reading(instance, None, "it answered 401", now_s)
        before_s, count = counted.get(instance.id, (now_s, 0.0))
        per_s = 8 + 5 * math.sin(now_s / 140 + instance.port % 3) + 2 * math.sin(now_s / 17 + instance.port)
        count += per_s * (now_s - before_s)
        counted[instance.id] = now_s, count
        buckets = Counter({bound: int(count * share) for bound, share in zip(_BOUNDS, _SHARES, strict=True)})
        errors = int(count / 400) if instance.version == "4" else 0
        counts = RequestCounts(int(count), errors, buckets)
        metrics = ModelMetrics(counts, instance.port % 3, instance.port % 7, {instance.version: "onnx"}, began_s - 8000)
        return Reading(instance, metrics, at_s=now_s)

    async def main() -> FiguresCollector:
        first_s = time.monotonic()
        collector = FiguresCollector(lambda: services, read, clock=lambda: began_s + time.monotonic() - first_s)
        task = asyncio.create_task(collector.run())
        await asyncio.sleep(PASSED_S)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return collector

    return virtual_time.run(main())
