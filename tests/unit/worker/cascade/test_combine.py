"""One answer of the results of several steps, whose labels were renamed and merged."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from worker.cascade.combine import answered_labels, combined
from worker.cascade.definition import Answer, Combination, Step
from worker.cascade.label_positions import LabelPositions
from worker.cascade.schedule import FAILED, SKIPPED, Outcome
from worker.cascade.step_labels import StepLabels

NAMES = ("cat", "dog", "owl")
LABELS = LabelPositions(NAMES)


def ran(**scores: float) -> Outcome:
    return Outcome("ran", tuple(scores), np.array(list(scores.values()), np.float32))


def of(combination: Combination, *outcomes: Outcome, weights: tuple[float, ...] = ()) -> list[float]:
    names = tuple(str(number) for number, _ in enumerate(outcomes))
    answer = Answer(combination, names, weights or (1.0,) * len(names))
    return [round(float(score), 4) for score in combined(answer, dict(zip(names, outcomes, strict=True)), LABELS)]


def test_the_first_that_ran_answers() -> None:
    """Steps that were left out or failed are passed over; labels that the step does not know score nothing."""
    assert of("first", SKIPPED, FAILED, ran(dog=0.9, cat=0.1), ran(owl=1.0)) == [0.1, 0.9, 0.0]


def test_an_average_counts_those_that_ran() -> None:
    """Weights of steps that did not run count for nothing."""
    assert of("average", ran(cat=1.0), ran(dog=1.0), SKIPPED, weights=(3.0, 1.0, 9.0)) == [0.75, 0.25, 0.0]


def test_most_voices_win_and_the_average_decides_a_tie() -> None:
    """Two doubtful cats outvote a certain dog; one voice each, and the surer step wins."""
    two = of("vote", ran(cat=0.6, dog=0.4), ran(cat=0.6, dog=0.4), ran(dog=1.0))
    assert two[0] > two[1]
    tie = of("vote", ran(cat=0.6, dog=0.4), ran(dog=0.9, cat=0.1))
    assert tie[1] > tie[0]


def test_nothing_that_ran_is_no_answer() -> None:
    """All scores are 0."""
    assert of("vote", SKIPPED, FAILED) == [0.0, 0.0, 0.0]


@given(st.data(), st.sampled_from(["first", "average", "vote"]), st.integers(1, 4))
def test_scores_stay_scores(data: st.DataObject, combination: Combination, steps: int) -> None:
    """Of distributions every combination makes scores that add up to 1, none below 0."""
    shares = hn.arrays(np.float32, 3, elements=st.floats(0.015625, 1, width=32)).map(lambda a: a / a.sum())
    outcomes = [Outcome("ran", NAMES, data.draw(shares)) for _ in range(steps)]
    scores = of(combination, *outcomes)
    assert min(scores) >= 0
    assert sum(scores) == pytest.approx(1, abs=1e-3)


def test_labels_are_renamed_and_merged() -> None:
    """Labels with one new name add up; those that are not listed become the other one, in whatever order they come."""
    labels = StepLabels(Step("a", service="a", labels={"tabby": "cat", "tiger": "cat"}, other="rest"))
    first = labels.merged(("tabby", "rose", "tiger"), np.array([0.5, 0.2, 0.3], np.float32))
    assert (labels.names, first.tolist()) == (("cat", "rest"), pytest.approx([0.8, 0.2]))
    second = labels.merged(("rose", "tiger", "tabby"), np.array([0.6, 0.3, 0.1], np.float32))
    assert second.tolist() == pytest.approx([0.4, 0.6])


def test_new_labels_keep_the_places_of_the_known_ones() -> None:
    """A new version of a model may bring labels: those that were known stay where they are."""
    labels = StepLabels(Step("a", service="a"))
    labels.merged(("cat", "dog"), np.array([0.5, 0.5], np.float32))
    scores = labels.merged(("owl", "cat"), np.array([0.9, 0.1], np.float32))
    assert (labels.names, scores.tolist()) == (("cat", "dog", "owl"), pytest.approx([0.1, 0.0, 0.9]))


def test_the_answers_labels_are_those_of_its_steps() -> None:
    """Each once, in the order in which the steps name them."""
    answer = Answer("first", ("b", "a"))
    assert answered_labels(answer, {"a": ("cat", "dog"), "b": ("dog", "owl")}) == ("dog", "owl", "cat")


def test_the_same_labels_are_found_again() -> None:
    """Positions that are remembered are those of the labels that were asked for, for each step's own labels."""
    labels, mine, others = LabelPositions(NAMES), ("owl", "cat"), ("dog",)
    for _ in range(2):
        assert (labels.of(mine).tolist(), labels.of(others).tolist()) == ([2, 0], [1])


def test_labels_that_the_caller_changes_are_read_again() -> None:
    """A list of labels may hold others at the next answer."""
    labels, names = StepLabels(Step("a", service="a")), ["cat", "dog"]
    labels.merged(names, np.array([0.9, 0.1], np.float32))
    names.reverse()
    assert labels.merged(names, np.array([0.9, 0.1], np.float32)).tolist() == pytest.approx([0.1, 0.9])
