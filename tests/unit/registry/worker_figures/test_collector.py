"""When workers are asked for their metrics, and what stays known of those that do not answer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter

import pytest

from registry.instances.instance import Instance
from registry.worker_figures.collector import EVERY_S, FiguresCollector
from registry.worker_figures.metrics_text import ModelMetrics
from registry.worker_figures.reading import Reading
from registry.worker_figures.request_counts import RequestCounts
from tests.support.event_loops import virtual_time

OURS = {"protocol": "article"}


def workers(count: int, service: str = "flowers") -> list[Instance]:
    return [Instance(service, f"w{n}", "10.0.0.1", 9000 + n, version="3", boot="b", meta=OURS) for n in range(count)]


class Fleet:
    """Workers that answer 10 requests per second each, and note when they are asked."""

    def __init__(self, *instances: Instance) -> None:
        self.instances = instances
        self.asked_s: dict[str, list[float]] = {}
        self.hanging: set[str] = set()
        self.broken: set[str] = set()
        self.at_once = Counter[str]()

    async def read(self, instance: Instance) -> Reading:
        now_s = time.monotonic()
        self.asked_s.setdefault(instance.id, []).append(now_s)
        if instance.id in self.hanging:
            await asyncio.Event().wait()
        if instance.id in self.broken:
            raise RuntimeError("a fault of ours")
        counts = RequestCounts(int(now_s * 10), 0, Counter({0.1: int(now_s * 10), float("inf"): int(now_s * 10)}))
        return Reading(instance, ModelMetrics(counts, 1, 2, {"3": "onnx"}), at_s=now_s)

    def collector(self, *, processes: int = 1) -> FiguresCollector:
        return FiguresCollector(lambda: {"flowers": self.instances}, self.read, processes=processes)

    def collected(self, seconds: float, *, processes: int = 1) -> FiguresCollector:
        """A collector after so long, in virtual time."""
        collector = self.collector(processes=processes)

        async def main() -> None:
            task = asyncio.create_task(collector.run())
            await asyncio.sleep(seconds)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        virtual_time.run(main())
        return collector


def test_figures_are_known_after_two_short_rounds_and_then_every_few_seconds() -> None:
    """A new worker is asked again after a second, because a rate needs two readings."""
    fleet = Fleet(*workers(2))
    collector = fleet.collected(12.5)
    found = collector.figures("flowers")
    assert found is not None
    assert found.total is not None
    assert found.total.requests_per_s == pytest.approx(20, rel=0.02)
    assert (found.workers["w0"].engine, found.queue) == ("onnx", 4)
    first, second, third, fourth = fleet.asked_s["w0"][:4]
    assert [second - first, third - second, fourth - third] == pytest.approx([1.0, 1.0, EVERY_S])
    assert len(collector.history("flowers")) >= 2
    assert len(collector.history("flowers", "w1")) >= 3


@pytest.mark.parametrize(("count", "processes", "every_s"), [(500, 1, 12.5), (1000, 1, 25.0), (100, 4, 10.0)])
def test_a_large_fleet_is_asked_less_often(count: int, processes: int, every_s: float) -> None:
    """At most 40 workers per second by all processes together, spread over the round."""
    fleet = Fleet(*workers(count))
    fleet.collected(every_s * 3.5, processes=processes)
    times = fleet.asked_s["w0"]
    assert times[2] - times[1] == pytest.approx(every_s)
    moments = sorted(moment for each in fleet.asked_s.values() for moment in each)
    in_a_second = max(sum(start <= other < start + 1 for other in moments) for start in moments[::50])
    assert in_a_second <= 40 // processes + 4


def test_a_worker_that_hangs_holds_nobody_up() -> None:
    """It is told as silent when the round's time is over; the others' figures go on, and so does the round."""
    fleet = Fleet(*workers(3))
    fleet.hanging.add("w1")
    collector = fleet.collected(40)
    found = collector.figures("flowers")
    assert found is not None
    assert found.total is not None
    assert found.total.requests_per_s == pytest.approx(20, rel=0.05)
    assert found.workers["w1"].fault == "no answer in time"
    assert len(fleet.asked_s["w0"]) >= 6


def test_a_fault_of_ours_is_logged_and_costs_one_worker_only(caplog: pytest.LogCaptureFixture) -> None:
    fleet = Fleet(*workers(2))
    fleet.broken.add("w1")
    with caplog.at_level(logging.ERROR):
        collector = fleet.collected(4)
    found = collector.figures("flowers")
    assert found is not None
    assert found.total is not None
    assert "could not be read" in found.workers["w1"].fault
    assert "a fault of ours" in caplog.text


def test_a_worker_that_is_gone_is_forgotten_after_a_quarter_of_an_hour() -> None:
    """Its figures at once, its history later: a chart shows how it ended."""
    fleet = Fleet(*workers(2))
    collector = fleet.collector()

    async def main() -> None:
        task = asyncio.create_task(collector.run())
        await asyncio.sleep(30)
        fleet.instances = fleet.instances[:1]
        await asyncio.sleep(10)
        found = collector.figures("flowers")
        assert found is not None
        assert list(found.workers) == ["w0"]
        assert len(collector.history("flowers", "w1"))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    virtual_time.run(main())


def test_a_server_that_is_no_worker_of_ours_is_not_asked() -> None:
    """p2p exec registers servers of which it is not known whether they have metrics."""
    fleet = Fleet(Instance("flowers", "flask", "10.0.0.1", 8000))
    collector = fleet.collected(10)
    assert fleet.asked_s == {}
    assert collector.figures("flowers") is not None
