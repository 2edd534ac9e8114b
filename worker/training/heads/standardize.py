"""Features of several layers -> one space in which all layers count alike, and a head in it -> a head over features.

Each feature is centred and divided by its deviation, plus a share of the layer's mean deviation, so that features that
hardly ever change are not blown up. Each layer is divided by the root of its width, so that a wide layer does not
outweigh the others. Where there are fewer photos than features, the photos span all directions that matter to a
logistic regression with an L2 penalty: learning in that span gives the same head and is many times faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.training.features.network import Layer
from worker.training.heads.head import Head, Rows

_FLOOR = 0.1  # of the layer's mean deviation
_SMALLEST = 1e-6  # of the largest: directions with less are rounding errors


@dataclass(frozen=True)
class Space:
    """The rows of photos for training in the common space [n, rank], and the way back to features.

    way: [width, rank], from standardized features to the space; None if the space is that of the features
    """

    layers: tuple[Layer, ...]
    rows: NDArray[np.float32]
    way: NDArray[np.float32] | None
    centre: NDArray[np.float32]
    scale: NDArray[np.float32]

    def head(self, kernel: NDArray[np.float64], bias: NDArray[np.float64]) -> Head:
        """The head over features that equals `kernel` [rank, labels] and `bias` in the space."""
        whole = kernel if self.way is None else self.way @ kernel
        whole = whole * self.scale[:, None]
        bias = bias - self.centre @ whole
        stops = np.cumsum([layer.width for layer in self.layers])[:-1]
        kernels = tuple(part.astype(np.float32) for part in np.split(whole, stops))
        return Head(self.layers, kernels, bias.astype(np.float32))


def space(rows: Rows, layers: Sequence[Layer], training: NDArray[np.int64], *, standardized: bool = True) -> Space:
    """The space that the photos `training` span; `rows` [n, width] hold all layers of all photos.

    If not `standardized`, features are centred only: a head is learned as if of the features as they are.
    """
    chosen = np.concatenate([rows[training, layer.start : layer.stop] for layer in layers], axis=1).astype(np.float32)
    centre = chosen.mean(axis=0)
    if standardized:
        scale = np.concatenate([_scale(part, len(layers)) for part in _parts(chosen, layers)])
    else:
        scale = np.ones(chosen.shape[1], np.float32)
    chosen -= centre
    chosen *= scale
    if len(chosen) >= chosen.shape[1]:
        return Space(tuple(layers), chosen, None, centre, scale)
    values, vectors = np.linalg.eigh((chosen @ chosen.T).astype(np.float64))
    kept = values > values[-1] * _SMALLEST
    roots = np.sqrt(values[kept])
    way = chosen.T @ (vectors[:, kept] / roots).astype(np.float32)
    return Space(tuple(layers), (vectors[:, kept] * roots).astype(np.float32), way, centre, scale)


def _parts(rows: NDArray[np.float32], layers: Sequence[Layer]) -> list[NDArray[np.float32]]:
    return list(np.split(rows, np.cumsum([layer.width for layer in layers])[:-1], axis=1))


def _scale(features: NDArray[np.float32], layers: int) -> NDArray[np.float32]:
    deviation = features.std(axis=0)
    floor = max(float(deviation.mean()), 1e-12) * _FLOOR
    return np.asarray(1.0 / ((deviation + floor) * np.sqrt(features.shape[1] * layers)), np.float32)
