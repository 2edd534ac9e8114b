"""Which steps run, and by when they must answer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.cascade.definition import Answer, Boxes, Condition, Definition, Step
from worker.cascade.schedule import FAILED, SKIPPED, Outcome, decide, holds, step_deadline_s, time_after

CAT = Outcome("ran", ("cat", "dog"), np.array([0.75, 0.25], np.float32))
BOX = Outcome("ran", box=(0.1, 0.2, 0.3, 0.4))
NO_BOX = Outcome("ran")


@pytest.mark.parametrize(
    ("condition", "outcome", "expected"),
    [
        (Condition("a", below=0.8), CAT, True),
        (Condition("a", below=0.75), CAT, False),
        (Condition("a", labels=frozenset({"cat"})), CAT, True),
        (Condition("a", labels=frozenset({"dog"})), CAT, False),
        (Condition("a", not_labels=frozenset({"dog"})), CAT, True),
        (Condition("a", not_labels=frozenset({"cat"})), CAT, False),
        (Condition("a", below=0.8), SKIPPED, False),
        (Condition("a", below=0.8), FAILED, False),
        (Condition("a", below=0.8, if_failed=True), FAILED, True),
        (Condition("a", below=0.8, if_failed=True), SKIPPED, False),
    ],
)
def test_conditions(condition: Condition, outcome: Outcome, expected: bool) -> None:
    """A condition looks at the best label; a step that was left out fulfils none."""
    assert holds(condition, outcome) is expected


def test_a_step_waits_for_what_it_needs() -> None:
    """It runs when all conditions hold, and is left out as soon as one does not, whatever the others turn out to be."""
    step = Step("c", service="c", when=(Condition("a", below=0.9), Condition("b", below=0.9)))
    assert decide(step, {}) == "wait"
    assert decide(step, {"a": CAT}) == "wait"
    assert decide(step, {"a": CAT, "b": CAT}) == "run"
    assert decide(step, {"a": SKIPPED}) == "skip"


@pytest.mark.parametrize(("outcome", "expected"), [(BOX, "run"), (NO_BOX, "skip"), (SKIPPED, "skip"), (FAILED, "skip")])
def test_a_step_that_crops_needs_a_box(outcome: Outcome, expected: str) -> None:
    """Without a box there is nothing to look at."""
    assert decide(Step("b", service="b", crop="a"), {"a": outcome}) == expected


def chain(*times: float) -> Definition:
    steps = tuple(
        Step(str(n), service="s", when=(Condition(str(n - 1), below=1.0),) if n else (), time=time)
        for n, time in enumerate(times)
    )
    return Definition(steps, Answer("first", (steps[-1].name,)))


def test_time_is_shared_along_the_longest_way() -> None:
    """A step leaves those after it their shares: of several ways the longest counts."""
    side = Step("side", service="s", when=(Condition("0", below=1.0),), time=5.0)
    cascade = chain(1.0, 2.0, 3.0)
    assert time_after(cascade) == {"0": 5.0, "1": 3.0, "2": 0.0}
    both = Definition((*cascade.steps, side), Answer("first", ("2", "side")))
    assert time_after(both)["0"] == 5.0
    assert step_deadline_s(cascade.steps[0], after=5.0, now_s=10.0, deadline_s=16.0) == pytest.approx(11.0)


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=6), st.floats(0.001, 1000))
def test_steps_that_use_all_their_time_end_in_time(times: list[float], left_s: float) -> None:
    """Every step gets some time, and steps in a row that each use all of theirs end when the caller's time does."""
    cascade, now_s, deadline_s = chain(*times), 100.0, 100.0 + left_s
    after = time_after(cascade)
    for step in cascade.steps:
        ends_s = step_deadline_s(step, after=after[step.name], now_s=now_s, deadline_s=deadline_s)
        assert now_s < ends_s <= deadline_s + 1e-9
        now_s = ends_s
    assert now_s == pytest.approx(deadline_s)


def test_boxes_have_defaults() -> None:
    """Outputs are called boxes and scores, and measured in parts of the image, unless told otherwise."""
    assert Boxes() == Boxes("boxes", "scores", "fraction", 0.5)
