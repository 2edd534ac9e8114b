"""True labels and probabilities -> accuracy with its interval, precision and recall, confusions, calibration; pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_Z95 = 1.959963984540054  # of the normal distribution, for 95 %
_BINS = 10

Probabilities = NDArray[np.float64]
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Interval:
    """A share, and between which bounds it is with a confidence of 95 %."""

    share: float
    low: float
    high: float


@dataclass(frozen=True)
class LabelMeasures:
    """One label: photos that have it, and precision and recall, None where they are undefined (0 of 0)."""

    label: str
    photos: int
    precision: float | None
    recall: float | None


@dataclass(frozen=True)
class CalibrationBin:
    """Photos whose best probability is between two bounds: its mean, and the share that is right."""

    low: float
    high: float
    photos: int
    confidence: float
    accuracy: float


def wilson(right: int, photos: int) -> Interval:
    """Wilson's score interval (1927), which holds for few photos and for shares near 0 and 1, too; 0 to 1 of none."""
    if not photos:
        return Interval(0.0, 0.0, 1.0)
    share, z2 = right / photos, _Z95**2
    centre = (share + z2 / (2 * photos)) / (1 + z2 / photos)
    half = _Z95 / (1 + z2 / photos) * math.sqrt(share * (1 - share) / photos + z2 / (4 * photos**2))
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half))


def confusion(truth: Numbers, predicted: Numbers, labels: int) -> NDArray[np.int64]:
    """Photos by true label (rows) and predicted label (columns)."""
    counts = np.zeros((labels, labels), np.int64)
    np.add.at(counts, (truth, predicted), 1)
    return counts


def by_label(counts: NDArray[np.int64], names: tuple[str, ...]) -> list[LabelMeasures]:
    """Precision and recall of each label, from a confusion matrix."""
    right, true, predicted = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    return [
        LabelMeasures(name, int(true[n]), _share(right[n], predicted[n]), _share(right[n], true[n]))
        for n, name in enumerate(names)
    ]


def _share(part: int, whole: int) -> float | None:
    return float(part) / float(whole) if whole else None


def calibration(truth: Numbers, probabilities: Probabilities) -> list[CalibrationBin]:
    """Photos by the probability of their best label, in ten bins; empty bins are left out."""
    best = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == truth
    place = np.minimum((best * _BINS).astype(int), _BINS - 1)
    return [
        CalibrationBin(n / _BINS, (n + 1) / _BINS, int(own.sum()), float(best[own].mean()), float(right[own].mean()))
        for n in range(_BINS)
        if (own := place == n).any()
    ]


def calibration_error(bins: list[CalibrationBin]) -> float:
    """The expected calibration error: how far confidence and accuracy are apart, on average over photos."""
    photos = sum(each.photos for each in bins)
    return sum(each.photos * abs(each.confidence - each.accuracy) for each in bins) / photos if photos else 0.0
