"""When an attack counts as borne."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.attack.callers import Calls
from benchmarks.attack.memory import BOUNDS_MB, bound_mb
from benchmarks.attack.targets import Findings
from benchmarks.attack.trial import HEAD, Trial

BORNE = Trial(
    number=2,
    workers=1,
    before=Calls(took_s=[0.010] * 100),
    during=Calls(took_s=[0.029] * 99 + [0.5]),
    peaks_mb={"worker 1": 300.0},
    findings=Findings(),
)


def test_what_callers_hardly_notice_holds() -> None:
    """No failure, a p99 of less than three times, memory within its bound; the row has a cell for each column."""
    assert BORNE.faults() == []
    assert BORNE.row().endswith("| holds |")
    assert BORNE.row().count("|") == len(HEAD) + 1


@pytest.mark.parametrize(
    ("trial", "fault"),
    [
        (replace(BORNE, during=Calls([0.01] * 100, ["WorkerFailed: no"])), "1 predictions failed"),
        (replace(BORNE, during=Calls([0.031] * 100)), "p99 is 3.1 times"),
        (replace(BORNE, peaks_mb={"worker 1": bound_mb("worker") + 1.0}), "worker 1 took"),
        (replace(BORNE, findings=Findings(wrong=["a token was stolen"])), "a token was stolen"),
    ],
)
def test_each_bar_is_judged(trial: Trial, fault: str) -> None:
    """What does not hold is said in a sentence."""
    (said,) = trial.faults()
    assert said.startswith(fault)


def test_expensive_pictures_may_slow_callers_until_their_deadline() -> None:
    """For kind 1 only the deadline counts."""
    slow = replace(BORNE, number=1, during=Calls([9.0] * 100))
    assert slow.faults() == []
    assert replace(slow, during=Calls([11.0])).faults() == ["a prediction took longer than its deadline"]


def test_every_worker_has_the_bound_of_a_worker() -> None:
    """A process is named after its kind, with a number."""
    assert bound_mb("worker 3") == BOUNDS_MB["worker"]
