"""Makes one answer of the results of several steps. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from worker.cascade.definition import Answer
from worker.cascade.label_positions import LabelPositions
from worker.cascade.schedule import Outcome

Vector = NDArray[np.float32]


def answered_labels(answer: Answer, labels: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The labels of a cascade's answers: those of the steps that it names, each once."""
    return tuple(dict.fromkeys(label for name in answer.steps for label in labels[name]))


def combined(answer: Answer, outcomes: Mapping[str, Outcome], labels: LabelPositions) -> Vector:
    """The scores of all `labels`; all are 0 where no step that the answer names ran.

    In a vote each step has one voice, for its best label. Of labels with as many voices the one with the higher
    average comes first, because the average makes up as much of a score as one voice more would.
    """
    ran = [(index, outcomes[name]) for index, name in enumerate(answer.steps) if outcomes[name].status == "ran"]
    if not ran:
        return np.zeros(len(labels), np.float32)
    if answer.combination == "first":
        return _placed(ran[0][1], labels)
    placed = np.stack([_placed(outcome, labels) for _, outcome in ran])
    if answer.combination == "average":
        scores = np.average(placed, axis=0, weights=[answer.weights[index] for index, _ in ran])
    else:
        voices = np.bincount(placed.argmax(axis=1), minlength=len(labels))
        scores = (voices + placed.mean(axis=0)) / (len(ran) + 1)
    return np.asarray(scores, np.float32)


def _placed(outcome: Outcome, labels: LabelPositions) -> Vector:
    scores = np.zeros(len(labels), np.float32)
    if outcome.scores is not None:
        scores[labels.of(outcome.labels)] = outcome.scores
    return scores
