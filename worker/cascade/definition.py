"""What a cascade consists of, as frozen values: its steps, when each runs, and how their results become one answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

Units = Literal["fraction", "pixels"]
Combination = Literal["first", "average", "vote"]

ALL_LABELS = 1000
"""How many labels a step is asked for unless its definition says fewer: the most that a worker answers with."""


LEAST_SCORE = 0.5
"""The score from which on a box counts, unless a definition says another one."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A step runs only if `step` has run and its best label has a score `below`, or is one of `labels`, or is not.

    Several of them must all hold. `if_failed`: whether it holds where that step, an optional one, has failed.
    """

    step: str
    below: float | None = None
    labels: frozenset[str] | None = None
    not_labels: frozenset[str] | None = None
    if_failed: bool = False


@dataclass(frozen=True, slots=True)
class Boxes:
    """The names of a step's outputs that are boxes and their scores; `units` says what a box's numbers count.

    A box is [left, top, right, bottom]; one with a score below `least_score` is none.
    """

    boxes: str = "boxes"
    scores: str = "scores"
    units: Units = "fraction"
    least_score: float = LEAST_SCORE


@dataclass(frozen=True, slots=True)
class Step:
    """One question of a cascade: to a `service`, found through the lookup service, or to a `model` in this process.

    `labels` renames labels, and merges those that get the same name; `other` is the name of all that it does not list
    (None: they keep theirs). `crop` names a step with boxes: this step gets what is inside the best one. `time` is
    this step's share of the time left, against those after it. `top`: how many labels a service is asked for.
    """

    name: str
    service: str | None = None
    model: Path | None = None
    when: tuple[Condition, ...] = ()
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    other: str | None = None
    boxes: Boxes | None = None
    crop: str | None = None
    optional: bool = False
    time: float = 1.0
    top: int = ALL_LABELS

    @property
    def needs(self) -> tuple[str, ...]:
        """The steps that are decided before this one, each once."""
        crop = () if self.crop is None else (self.crop,)
        return tuple(dict.fromkeys((*(condition.step for condition in self.when), *crop)))


@dataclass(frozen=True, slots=True)
class Answer:
    """How the results of `steps` become the answer: the `first` that ran, their weighted `average`, or a `vote`."""

    combination: Combination
    steps: tuple[str, ...]
    weights: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Definition:
    """A cascade; each of its `steps` stands after those that it needs."""

    steps: tuple[Step, ...]
    answer: Answer

    def step(self, name: str) -> Step:
        """The step of that name."""
        return next(step for step in self.steps if step.name == name)

    @property
    def services(self) -> tuple[str, ...]:
        """The services that it asks, each once."""
        return tuple(dict.fromkeys(step.service for step in self.steps if step.service is not None))
