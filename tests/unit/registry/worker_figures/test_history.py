"""Fifteen minutes of figures, and no more."""

from __future__ import annotations

import sys

from hypothesis import given, settings
from hypothesis import strategies as st

from registry.worker_figures.figures import Figures
from registry.worker_figures.history import KEPT_S, History

IDLE = Figures(0.0, None, None, None)


def test_what_is_not_known_is_null() -> None:
    """A silent worker leaves a gap; an idle one has a rate and no times."""
    history = History()
    history.add(1000.04, Figures(12.34567, 0.25, 0.0123456, 0.5), queue=3)
    history.add(1005.0, IDLE, queue=0)
    history.add(1010.0, None, queue=None)
    assert history.as_json() == {
        "at": [1000.0, 1005.0, 1010.0],
        "requests_per_s": [12.35, 0.0, None],
        "errors": [0.25, None, None],
        "p50_s": [0.01235, None, None],
        "p99_s": [0.5, None, None],
        "queue": [3.0, 0.0, None],
    }


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 400), max_size=60))
def test_nothing_is_kept_for_longer(steps: list[float]) -> None:
    """All series stay as long as the moments, none of which is older than a quarter of an hour."""
    history, now_s = History(), 0.0
    for step in steps:
        now_s += step
        history.add(now_s, IDLE, queue=1)
        told = history.as_json()
        assert {len(series) for series in told.values()} == {len(history)}
        assert told["at"][0] is not None
        assert told["at"][0] >= round(now_s - KEPT_S, 1)
    history.forget(now_s + KEPT_S + 1)
    assert len(history) == 0


def test_a_worker_costs_a_few_kilobytes() -> None:
    """Less than 3 MB for 500 workers, which are asked every 12.5 s."""
    history = History()
    for moment in range(200):
        history.add(moment * 12.5, IDLE, queue=0)
    held = sum(sys.getsizeof(each) for each in (history, history._series, history._at_s, *history._series))
    assert held < 6_000
