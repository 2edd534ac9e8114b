"""Rates, errors and times of workers, versions and services from readings of metrics."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.instances.instance import Instance
from registry.worker_figures.figures import (
    Interval,
    figures_of,
    interval_between,
    service_figures,
    worker_figures,
)
from registry.worker_figures.metrics_text import ModelMetrics
from registry.worker_figures.reading import Reading
from registry.worker_figures.request_counts import RequestCounts

INF = float("inf")


def reading(requests: int | None, at_s: float, *, version: str = "3", boot: str = "b", errors: int = 0) -> Reading:
    instance = Instance("flowers", "a", "127.0.0.1", 9001, version=version, boot=boot)
    if requests is None:
        return Reading(instance, None, "no answer", at_s)
    counts = RequestCounts(requests, errors, Counter({0.1: requests, INF: requests}))
    metrics = ModelMetrics(counts, 2, 5, {"3": "onnx", "4": "openvino"}, 1.7e9)
    return Reading(instance, metrics, at_s=at_s)


def test_a_rate_is_what_was_counted_between_two_readings() -> None:
    """40 more requests in 5 s are 8 per second, 4 of them with a 5xx are 10%."""
    interval = interval_between(reading(100, 10.0, errors=9), reading(140, 15.0, errors=13))
    assert interval is not None
    figures = figures_of([interval])
    assert figures is not None
    assert (figures.requests_per_s, figures.error_rate) == (8.0, 0.1)
    assert figures.p50_s == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("before", "now", "requests"),
    [
        (reading(100, 10.0), reading(30, 15.0, boot="new"), 30),
        (reading(100, 10.0), reading(300, 15.0, boot="new"), 300),
        (reading(100, 10.0), reading(30, 15.0), 30),
    ],
)
def test_a_worker_that_has_started_again_counts_from_its_start(before: Reading, now: Reading, requests: int) -> None:
    """Also where its counters have passed the old ones, and where only the counters tell."""
    interval = interval_between(before, now)
    assert interval is not None
    assert interval.counts.requests == requests


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (reading(None, 10.0), reading(100, 15.0)),
        (reading(100, 10.0), reading(None, 15.0)),
        (reading(100, 10.0), reading(100, 10.0)),
    ],
)
def test_without_two_readings_there_is_no_rate(before: Reading, now: Reading) -> None:
    """A worker that was silent in between is not one that did nothing."""
    assert interval_between(before, now) is None


def test_an_idle_worker_has_a_rate_of_zero_and_no_times() -> None:
    interval = interval_between(reading(100, 10.0), reading(100, 15.0))
    assert interval is not None
    figures = figures_of([interval])
    assert figures is not None
    assert (figures.requests_per_s, figures.error_rate, figures.p50_s, figures.p99_s) == (0.0, None, None, None)


def test_a_workers_state_is_that_of_the_last_reading() -> None:
    """The engine is that of the version served by default; a silent worker has only the reason."""
    found = worker_figures(reading(5, 10.0, version="4"), None)
    assert (found.engine, found.in_flight, found.queue, found.started_at_s) == ("openvino", 2, 5, 1.7e9)
    assert worker_figures(reading(None, 10.0), None).fault == "no answer"


def test_versions_have_the_figures_of_their_own_workers() -> None:
    """A worker that changed its version in between counts for the service and for no version."""
    both = [
        interval_between(reading(0, 0.0), reading(10, 1.0)),
        interval_between(reading(0, 0.0, version="4"), reading(30, 2.0, version="4")),
        interval_between(reading(0, 0.0), reading(7, 1.0, version="4")),
    ]
    found = service_figures([each for each in both if each is not None], {})
    assert found.total is not None
    assert found.total.requests_per_s == 32.0
    assert {version: figures.requests_per_s for version, figures in found.versions.items()} == {"3": 10.0, "4": 15.0}


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50), st.floats(0.5, 20)),
        min_size=1,
        max_size=8,
    )
)
def test_the_service_does_what_its_workers_do(workers: list[tuple[int, int, int, float]]) -> None:
    """Rates add up, and p50 and p99 lie between the fastest and the slowest bucket that any worker filled."""
    intervals = [
        Interval(
            RequestCounts(a + b + c, c, Counter({0.01: a, 0.1: a + b, 1.0: a + b + c, INF: a + b + c})), seconds, "3"
        )
        for a, b, c, seconds in workers
    ]
    alone = [figures for interval in intervals if (figures := figures_of([interval]))]
    together = figures_of(intervals)
    assert together is not None
    assert together.requests_per_s == pytest.approx(sum(each.requests_per_s for each in alone))
    for name in ("p50_s", "p99_s"):
        known = [value for each in alone if (value := getattr(each, name)) is not None]
        value = getattr(together, name)
        assert (value is None) == (not known)
        assert value is None or 0 < value <= 1.0
    if together.p50_s is not None and together.p99_s is not None:
        assert together.p50_s <= together.p99_s
