"""Turns readings of workers' metrics into figures: requests per second, errors, p50 and p99. Pure.

Rates come from differences of counters, and times of several workers from their histograms added up: an average of
quantiles would be no quantile.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from registry.worker_figures.reading import Reading
from registry.worker_figures.request_counts import RequestCounts, added, since


@dataclass(frozen=True, slots=True)
class Interval:
    """What one worker counted in the `seconds` between two readings; `version` None: it changed in between."""

    counts: RequestCounts
    seconds: float
    version: str | None


@dataclass(frozen=True, slots=True)
class Figures:
    """Requests per second, the part of them answered with a 5xx, and within how many seconds half and 99% ended.

    The last three are None while nothing is requested.
    """

    requests_per_s: float
    error_rate: float | None
    p50_s: float | None
    p99_s: float | None


@dataclass(frozen=True, slots=True)
class WorkerFigures:
    """One worker's figures, and its state at the last reading; `fault` says why it does not tell them.

    `figures` are None before the second reading; `engine` is that of the version served by default, "" if not known.
    """

    figures: Figures | None = None
    engine: str = ""
    in_flight: int | None = None
    queue: int | None = None
    started_at_s: float | None = None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class ServiceFigures:
    """The figures of a service as a whole, of its versions by their names, and of its workers by their ids.

    `at_s`: when they were worked out, in seconds since 1970.
    """

    total: Figures | None = None
    versions: Mapping[str, Figures] = field(default_factory=dict)
    workers: Mapping[str, WorkerFigures] = field(default_factory=dict)
    at_s: float = 0.0

    @property
    def queue(self) -> int:
        """Images that wait at all workers."""
        return sum(worker.queue or 0 for worker in self.workers.values())


def interval_between(before: Reading, now: Reading) -> Interval | None:
    """What a worker counted between two readings; None where one of them told nothing.

    Another process at the same address, or counters that began again, count from their start.
    """
    if before.counts is None or now.counts is None or now.at_s <= before.at_s:
        return None
    same = before.instance.boot == now.instance.boot
    counts = since(before.counts, now.counts) if same else now.counts
    version = now.instance.version if before.instance.version == now.instance.version else None
    return Interval(counts, now.at_s - before.at_s, version)


def figures_of(intervals: Iterable[Interval]) -> Figures | None:
    """The figures of all these workers together; None without any."""
    intervals = list(intervals)
    if not intervals:
        return None
    together = added(interval.counts for interval in intervals)
    return Figures(
        sum(interval.counts.requests / interval.seconds for interval in intervals),
        together.error_rate,
        together.quantile_s(0.5),
        together.quantile_s(0.99),
    )


def worker_figures(reading: Reading, interval: Interval | None) -> WorkerFigures:
    """One worker's figures: its state at a reading, and what it has counted in the interval that ends there."""
    metrics = reading.metrics
    if metrics is None:
        return WorkerFigures(fault=reading.fault)
    engines = metrics.engines
    return WorkerFigures(
        None if interval is None else figures_of([interval]),
        engines.get(reading.instance.version) or next(iter(engines.values()), ""),
        metrics.in_flight,
        metrics.queue,
        metrics.started_at_s,
    )


def service_figures(
    intervals: Iterable[Interval], workers: Mapping[str, WorkerFigures], *, at_s: float = 0.0
) -> ServiceFigures:
    """The figures of one service at `at_s` from its workers' intervals; `workers` are theirs, by their ids."""
    intervals = list(intervals)
    by_version: dict[str, list[Interval]] = {}
    for interval in intervals:
        if interval.version:
            by_version.setdefault(interval.version, []).append(interval)
    versions = {version: figures_of(each) for version, each in sorted(by_version.items())}
    return ServiceFigures(
        figures_of(intervals), {name: figures for name, figures in versions.items() if figures}, workers, at_s
    )
