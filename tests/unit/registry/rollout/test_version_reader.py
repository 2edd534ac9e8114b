"""What the versions of a service have counted between two readings of their workers."""

from __future__ import annotations

from registry.instances.instance import Instance
from registry.rollout.version_reader import all_but, by_version, counted_between, faults
from registry.worker_figures.metrics_text import ModelMetrics
from registry.worker_figures.reading import Reading
from registry.worker_figures.request_counts import RequestCounts


def reading(name: str, version: str, requests: int | None, *, boot: str = "b") -> Reading:
    instance = Instance("flowers", name, "127.0.0.1", 9001, version=version, boot=boot)
    if requests is None:
        return Reading(instance, None, "it answered 401")
    return Reading(instance, ModelMetrics(RequestCounts(requests)))


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
