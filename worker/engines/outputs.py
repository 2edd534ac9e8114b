"""Raw outputs of a network -> probabilities: tell the two apart, and turn the one into the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from worker.engines.base import Engine, InputSpec

_SLACK = 0.01  # half precision adds up to 1 within this


def are_probabilities(scores: NDArray[np.float32]) -> bool:
    """Whether every row of [n, classes] is free of negative numbers and adds up to 1."""
    return bool((scores >= 0).all() and (np.abs(scores.sum(axis=1) - 1) < _SLACK).all())


def softmax(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """exp(x) / sum(exp(x)) of each row of [n, classes], without overflow."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float32)


class Softmaxed:
    """An engine whose model gives logits, with softmax behind it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.name = engine.name
        self.platform = engine.platform
        self.classes = engine.classes
        self.device = engine.device
        self.fixed_batches = engine.fixed_batches
        self.streams = engine.streams

    @property
    def input(self) -> InputSpec:
        """The engine's own: it cuts the batches."""
        return self._engine.input

    @input.setter
    def input(self, spec: InputSpec) -> None:
        self._engine.input = spec

    def predict(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Probabilities [n, classes]."""
        return softmax(self._engine.predict(images))

    def stream(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Probabilities [n, classes], computed by the calling thread."""
        return softmax(self._engine.stream(images))

    def close(self) -> None:
        """Give the memory back."""
        self._engine.close()
