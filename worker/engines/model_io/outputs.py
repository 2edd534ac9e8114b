"""The outputs of a network: whether they are probabilities, softmax where they are not, and comparison of outputs."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from worker.artifacts.preprocess_config import Outputs
from worker.engines.base import Engine, InputSpec, Upload
from worker.errors import ModelError

_log = logging.getLogger(__name__)

SLACK = 0.01
"""Probabilities in half precision add up to 1 within this."""


def outputs_of(scores: NDArray[np.float32]) -> Outputs:
    """The kind of outputs [n, classes]: logits if some are negative or above 1, else probabilities.

    Probabilities whose sum is not 1 are independent scores, one per label (sigmoid), or rounded (quantized); the log
    says so.
    """
    if not ((scores >= 0) & (scores <= 1 + SLACK)).all():  # nor if some are not numbers
        return "logits"
    if (np.abs(scores.sum(axis=1) - 1) >= SLACK).any():
        _log.info(
            "The model's outputs are between 0 and 1 and do not add up to 1: they are taken for independent scores; "
            "with --outputs logits softmax is applied."
        )
    return "probabilities"


def nearly_equal(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Whether two outputs are equal except for rounding."""
    return one.shape == other.shape and np.allclose(one, other, rtol=1e-3, atol=1e-4)


def ensure_finite(scores: NDArray[np.floating]) -> None:
    """Raise ModelError if a score is infinite or not a number."""
    if not np.isfinite(scores).all():
        raise ModelError("The model gave an answer that is not a number: check the model and its scaling.")


def softmax(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """exp(x) / sum(exp(x)) of each row of [n, classes], without overflow."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float32)


class SoftmaxEngine:
    """An engine whose model gives logits, with softmax applied to them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.name = engine.name
        self.platform = engine.platform
        self.classes = engine.classes
        self.device = engine.device
        self.fixed_batches = engine.fixed_batches
        self.labels = engine.labels
        self.streams = engine.streams

    @property
    def input(self) -> InputSpec:
        """The wrapped engine's input; setting it changes the wrapped engine, which cuts the batches."""
        return self._engine.input

    @input.setter
    def input(self, spec: InputSpec) -> None:
        self._engine.input = spec

    @property
    def upload(self) -> Upload | None:
        """The wrapped engine's."""
        return self._engine.upload

    def predict(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Probabilities [n, classes]."""
        return softmax(self._engine.predict(images))

    def stream(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Probabilities [n, classes], computed by the calling thread only."""
        return softmax(self._engine.stream(images))

    def close(self) -> None:
        """Release the memory."""
        self._engine.close()
