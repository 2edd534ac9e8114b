"""What workers have counted: read from the metrics that they really write, subtracted, added up."""

from __future__ import annotations

from collections import Counter

import pytest

from registry.instances.instance import Instance
from registry.rollout.version_reader import Reading, all_but, by_version, counted_between, faults
from registry.rollout.version_stats import VersionStats, added, quantile, read_stats, since
from worker.telemetry.metrics import WorkerMetrics
from worker.telemetry.request_labels import RequestLabels


def counted(*statuses: int) -> WorkerMetrics:
    metrics = WorkerMetrics()
    for status in statuses:
        metrics.answered(RequestLabels("flowers", "article"), status=status, took_s=0.02)
    metrics.answered(RequestLabels("other", "article"), status=500, took_s=9)
    metrics.answered(RequestLabels("", ""), status=200, took_s=9)
    return metrics


def test_a_workers_metrics_are_read() -> None:
    """Requests of the model alone count, copies apart from them; 5xx are errors, and refusals of the caller are not."""
    metrics = counted(200, 200, 400, 500, 503)
    metrics.shadow.answered("flowers", "best=tabby;score=0.5;dropped=3", status=200, took_s=0.3)
    metrics.shadow.answered("flowers", "", status=503, took_s=0.3)
    metrics.model("flowers").compare_shadow("best=tabby;score=0.5", "tabby", 0.75)
    metrics.model("flowers").compare_shadow("best=tabby;score=0.5", "lynx", 0.5)
    stats = read_stats(metrics.text().decode(), model="flowers")
    assert (stats.requests, stats.errors, stats.error_rate) == (5, 2, 0.4)
    assert 0.01 < (stats.quantile_s(0.99) or 0) <= 0.025
    assert (stats.shadows, stats.shadow_errors, stats.dropped) == (2, 1, 3)
    assert 0.25 < (stats.shadow_quantile_s(0.5) or 0) <= 0.5
    assert (stats.compared, stats.agreed, stats.agreement, stats.mean_difference) == (2, 1, 0.5, 0.125)


def test_nothing_counted_is_unknown() -> None:
    stats = read_stats(WorkerMetrics().text().decode(), model="flowers")
    assert stats == VersionStats()
    assert (stats.error_rate, stats.agreement, stats.mean_difference, stats.quantile_s(0.5)) == (None,) * 4


def test_what_is_no_prometheus_text_is_refused() -> None:
    with pytest.raises(ValueError, match="html"):
        read_stats("<html>", model="flowers")


def test_differences_and_sums() -> None:
    before = read_stats(counted(200).text().decode(), model="flowers")
    now = read_stats(counted(200, 500, 200).text().decode(), model="flowers")
    step = since(before, now)
    assert (step.requests, step.errors, step.buckets[0.025]) == (2, 1, 2)
    assert added([step, step]).requests == 4
    assert added([]) == VersionStats()


@pytest.mark.parametrize(
    ("buckets", "part", "expected"),
    [
        ({0.1: 0, 0.2: 100, float("inf"): 100}, 0.5, 0.15),
        ({0.1: 50, 0.2: 100, float("inf"): 100}, 0.5, 0.1),
        ({0.1: 0, float("inf"): 10}, 0.5, 0.1),
        ({0.1: 0, float("inf"): 0}, 0.5, None),
        ({}, 0.5, None),
    ],
)
def test_quantiles_are_interpolated(buckets: dict[float, int], part: float, expected: float | None) -> None:
    assert quantile(Counter(buckets), part) == (None if expected is None else pytest.approx(expected))


def reading(name: str, version: str, requests: int | None, *, boot: str = "b") -> Reading:
    instance = Instance("flowers", name, "127.0.0.1", 9001, version=version, boot=boot)
    if requests is None:
        return Reading(instance, None, "it answered 401")
    return Reading(instance, VersionStats(requests))


def test_versions_count_what_their_workers_count() -> None:
    """Workers that started since count from their start; those that changed their version in between do not count."""
    before = (
        reading("a", "3", 10),
        reading("b", "3", 5),
        reading("c", "4", 1),
        reading("d", "3", 1),
        reading("e", "4", None),
    )
    now = (
        reading("a", "3", 12), reading("b", "3", 3, boot="new"), reading("c", "4", 8), reading("d", "4", 90),
        reading("e", "4", 100),
    )  # fmt: skip
    counts = counted_between(before, now)
    assert {version: stats.requests for version, stats in counts.items()} == {"3": 5, "4": 7}
    assert all_but(counts, "4").requests == 5
    assert by_version(now)["4"].requests == 198
    assert faults(before) == ["127.0.0.1:9001 does not tell its metrics: it answered 401."]
