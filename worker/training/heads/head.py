"""A softmax layer over features of some of a network's layers: rows of features -> logits; pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.training.features.network import Layer

Rows = NDArray[np.floating]
"""Features of photos [n, width]."""

Logits = NDArray[np.float64]
"""Scores of photos before the softmax [n, labels]."""


@dataclass(frozen=True)
class Head:
    """Logits = sum over layers of (features of the layer @ kernel of the layer) + bias.

    layers:  the layers that are used
    kernels: one [width, labels] per layer
    bias:    [labels]
    """

    layers: tuple[Layer, ...]
    kernels: tuple[NDArray[np.float32], ...]
    bias: NDArray[np.float32]

    def logits(self, rows: Rows) -> Logits:
        """The logits of rows that hold the features of all of the network's layers."""
        total = np.tile(self.bias.astype(np.float64), (len(rows), 1))
        for layer, kernel in zip(self.layers, self.kernels, strict=True):
            total += rows[:, layer.start : layer.stop].astype(np.float32) @ kernel
        return total


def softmax(logits: Logits) -> NDArray[np.float64]:
    """Probabilities [n, labels]."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def log_loss(logits: Logits, truth: NDArray[np.int64]) -> float:
    """The mean of -log(probability of the true label)."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    own = shifted[np.arange(len(truth)), truth]
    return float((np.log(np.exp(shifted).sum(axis=1)) - own).mean())
