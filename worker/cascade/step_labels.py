"""The labels of a step as the cascade names them: renamed, merged, and always in the order in which they were met.

A service names the labels of each answer in another order, and a new version of its model may bring new ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from worker.cascade.definition import Step


class StepLabels:
    """The labels that a step has answered with so far; `names` only grows, so that its positions stay true."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._positions: dict[str, int] = {}  # of a model's label among the names
        self._latest: tuple[Sequence[str], NDArray[np.intp]] = (), np.empty(0, np.intp)
        self.names: tuple[str, ...] = ()

    def merged(self, labels: Sequence[str], scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """The scores [names] of these `scores` [labels]; of labels that have the same name, the sum."""
        positions = self._positions_of(labels)
        return np.bincount(positions, weights=scores, minlength=len(self.names)).astype(np.float32)

    def _positions_of(self, labels: Sequence[str]) -> NDArray[np.intp]:
        """The positions [labels] among the names. A model in this process gives the same tuple with every answer."""
        known, positions = self._latest
        if labels is known:
            return positions
        try:
            positions = np.array([self._positions[label] for label in labels], np.intp)
        except KeyError:
            self._add(labels)
            positions = np.array([self._positions[label] for label in labels], np.intp)
        if isinstance(labels, tuple):  # anything else may change
            self._latest = labels, positions
        return positions

    def _add(self, labels: Sequence[str]) -> None:
        names = {name: position for position, name in enumerate(self.names)}
        for label in labels:
            name = self._step.labels.get(label, self._step.other or label)
            self._positions[label] = names.setdefault(name, len(names))
        self.names = tuple(names)
