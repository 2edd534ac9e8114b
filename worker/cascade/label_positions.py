"""Labels with their numbers, which are looked up for all labels of an answer at once."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


class LabelPositions:
    """Labels, numbered from 0 in their order."""

    def __init__(self, labels: Iterable[str]) -> None:
        self._positions = {label: position for position, label in enumerate(labels)}
        self._found: dict[int, tuple[tuple[str, ...], NDArray[np.intp]]] = {}  # by the identity of the labels

    def __len__(self) -> int:
        return len(self._positions)

    def of(self, labels: tuple[str, ...]) -> NDArray[np.intp]:
        """The positions [labels]; they are remembered, for steps answer with the same tuple again and again.

        Raises KeyError for a label that is not here.
        """
        known = self._found.get(id(labels))
        if known is None:  # what is remembered holds its labels, so that no others can have their identity
            known = self._found[id(labels)] = labels, np.array([self._positions[label] for label in labels], np.intp)
        return known[1]
