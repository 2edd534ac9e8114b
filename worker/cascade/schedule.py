"""Decides what becomes of each step of a cascade: it runs, is left out, or waits; and by when it must answer. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from worker.cascade.definition import Condition, Definition, Step

Status = Literal["ran", "skipped", "failed"]
Decision = Literal["run", "skip", "wait"]


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What became of a step: the scores [labels] of its `labels`, or the `box` that it found, where it ran.

    A box is [left, top, right, bottom] as parts of the image's width and height; None where it found none.
    `complete` says that the step has no other labels.
    """

    status: Status
    labels: tuple[str, ...] = ()
    scores: NDArray[np.float32] | None = None
    box: tuple[float, float, float, float] | None = None
    complete: bool = False

    @property
    def best(self) -> tuple[str, float] | None:
        """Its best label with the score; None where it has no labels."""
        if self.scores is None or not self.scores.size:
            return None
        index = int(self.scores.argmax())
        return self.labels[index], float(self.scores[index])


SKIPPED = Outcome("skipped")
FAILED = Outcome("failed")


def decide(step: Step, outcomes: Mapping[str, Outcome]) -> Decision:
    """What to do with `step` when these outcomes of others are known."""
    needed = {name: outcomes.get(name) for name in step.needs}
    if step.crop is not None:
        cropped = needed[step.crop]
        if cropped is not None and cropped.box is None:
            return "skip"
    for condition in step.when:
        outcome = needed[condition.step]
        if outcome is not None and not holds(condition, outcome):
            return "skip"
    return "wait" if any(outcome is None for outcome in needed.values()) else "run"


def holds(condition: Condition, outcome: Outcome) -> bool:
    """Whether a step's outcome fulfils a condition."""
    if outcome.status == "failed":
        return condition.if_failed
    best = outcome.best
    if outcome.status == "skipped" or best is None:
        return False
    label, score = best
    if condition.below is not None:
        return score < condition.below
    if condition.labels is not None:
        return label in condition.labels
    return condition.not_labels is not None and label not in condition.not_labels


def time_after(definition: Definition) -> Mapping[str, float]:
    """For each step the largest sum of `time` on a way through the steps that come after it."""
    after = dict.fromkeys((step.name for step in definition.steps), 0.0)
    for step in reversed(definition.steps):
        for needed in step.needs:
            after[needed] = max(after[needed], step.time + after[step.name])
    return after


def step_deadline_s(step: Step, *, after: float, now_s: float, deadline_s: float) -> float:
    """By when `step`, which begins now, must answer, so that the steps `after` it get their shares of what is left."""
    return now_s + max(0.0, deadline_s - now_s) * step.time / (step.time + after)
