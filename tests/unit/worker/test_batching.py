"""The batcher's policy: sizes, waits and refusals as plain numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.batching import CAP_TOLERANCE, WAIT_AT_MOST_S, Pace, crowded, expected_wait_s, gather_s, learn_pace

PACE = Pace(cap=8, batch_s=0.08, single_s=0.03)


@pytest.mark.parametrize(
    ("seconds", "cap"),
    [
        ({1: 0.010}, 1),
        ({1: 0.010, 2: 0.020, 4: 0.040}, 1),
        ({1: 0.010, 2: 0.012, 4: 0.020, 8: 0.0398}, 4),
        ({1: 0.010, 2: 0.012, 4: 0.020, 8: 0.030}, 8),
    ],
)
def test_the_cap_is_the_smallest_batch_near_the_best(seconds: dict[int, float], cap: int) -> None:
    """A larger batch is taken only for more than the tolerance in throughput."""
    assert learn_pace(seconds).cap == cap


@given(st.dictionaries(st.sampled_from([1, 2, 4, 8, 16]), st.floats(0.001, 1.0)).filter(lambda d: 1 in d))
def test_the_cap_is_within_the_tolerance_of_the_best(seconds: dict[int, float]) -> None:
    """Whatever was measured, the chosen batch gives nearly the best measured throughput."""
    pace = learn_pace(seconds)
    best = max(size / s for size, s in seconds.items())
    assert pace.cap / pace.batch_s >= best * (1 - CAP_TOLERANCE)


@pytest.mark.parametrize(
    ("queued", "coming", "just_finished"), [(1, 0, True), (1, 3, False), (8, 3, True), (9, 3, True)]
)
def test_a_free_engine_does_not_wait(queued: int, coming: int, just_finished: bool) -> None:
    """Nobody on the way, no batch before it, or a full batch: run at once."""
    assert gather_s(PACE, queued=queued, coming=coming, just_finished=just_finished) == 0


def test_it_waits_a_moment_for_those_on_the_way() -> None:
    """Under load it waits for requests that are being decoded, at most 2 ms or a tenth of a prediction."""
    assert gather_s(PACE, queued=1, coming=3, just_finished=True) == WAIT_AT_MOST_S
    quick = Pace(cap=8, batch_s=0.002, single_s=0.001)
    assert gather_s(quick, queued=1, coming=3, just_finished=True) == pytest.approx(0.0001)


def test_the_expected_wait_counts_what_is_before() -> None:
    """An idle worker answers in one prediction; work before it adds its share of full batches."""
    assert expected_wait_s(PACE, ahead=0) == pytest.approx(0.03)
    assert expected_wait_s(PACE, ahead=24) == pytest.approx(0.27)


def test_crowded_has_a_gap() -> None:
    """A queue is crowded from four fifths on and stays so until two fifths: no flapping at the edge."""
    states = []
    before = False
    for queued in (79, 80, 79, 41, 40, 39, 60, 79):
        before = crowded(queued=queued, most=100, before=before)
        states.append(before)
    assert states == [False, True, True, True, True, False, False, False]
