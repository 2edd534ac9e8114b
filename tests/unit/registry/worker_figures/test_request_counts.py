"""Counts of requests: subtracted, added up, and the times that they tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.worker_figures.request_counts import RequestCounts, added, quantile, since


def counts(requests: int, errors: int = 0, buckets: Mapping[float, int] = MappingProxyType({})) -> RequestCounts:
    return RequestCounts(requests, errors, Counter(buckets))


def test_differences_and_sums() -> None:
    before = counts(1, 0, {0.025: 1})
    now = counts(3, 1, {0.025: 3})
    step = since(before, now)
    assert (step.requests, step.errors, step.buckets[0.025]) == (2, 1, 2)
    assert added([step, step]).requests == 4
    assert added([]) == RequestCounts()


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


BOUNDS = (0.001, 0.01, 0.1, 1.0, float("inf"))

durations = st.lists(st.floats(0.0001, 5), max_size=30)


def counted(seconds: list[float], bounds: tuple[float, ...] = BOUNDS) -> RequestCounts:
    """What a worker has counted of requests that took so long."""
    return counts(len(seconds), 0, {bound: sum(each <= bound for each in seconds) for bound in bounds})


@settings(max_examples=60, deadline=None)
@given(st.lists(durations, min_size=1, max_size=5), st.sampled_from([0.5, 0.9, 0.99]))
def test_times_of_several_workers_are_those_of_all_requests(workers: list[list[float]], part: float) -> None:
    """The merged histogram tells the bucket in which the quantile of all durations lies, as no average would."""
    together = [seconds for each in workers for seconds in each]
    found = added(map(counted, workers)).quantile_s(part)
    assert found == counted(together).quantile_s(part)
    if together:
        rank = sorted(together)[max(0, -(-int(part * 100) * len(together) // 100) - 1)]
        upper = next(bound for bound in BOUNDS if rank <= bound)
        lower = max((bound for bound in BOUNDS if bound < upper), default=0.0)
        assert found is not None
        assert lower <= found <= upper


@settings(max_examples=60, deadline=None)
@given(durations, durations)
def test_no_restart_makes_a_negative_count(before: list[float], now: list[float]) -> None:
    """Counters that began again count from their start; else the difference is what came since."""
    step = since(counted(before), counted(now))
    assert step.requests == (len(now) - len(before) if len(now) >= len(before) else len(now))
    grown = since(counted(before), counted([*before, *now]))
    assert grown.buckets == counted(now).buckets
    assert min(grown.buckets.values()) >= 0


def test_histograms_of_other_bounds_stay_cumulative() -> None:
    """Workers of two releases may count in other buckets: no bucket has fewer than the one below it."""
    merged = added([counted([0.02, 0.5]), counted([0.02, 0.5], (0.05, 0.2, float("inf")))]).buckets
    assert all(merged[low] <= merged[high] for low, high in pairwise(sorted(merged)))
    assert merged[float("inf")] == 4
