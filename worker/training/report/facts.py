"""What a training has used, left out and learned, as values for report.json; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.training.heads.head import Logits, softmax
from worker.training.photos.find import LeftOut
from worker.training.photos.split import Part
from worker.training.photos.used import Photo
from worker.training.report.measures import (
    Interval,
    by_label,
    calibration,
    calibration_error,
    confusion,
    wilson,
)
from worker.training.report.suspects import suspects


@dataclass(frozen=True)
class Training:
    """All that the report needs.

    photos, logits: the photos that were used, and their logits [n, labels], of training photos out of fold; rows of
        photos that no fold predicted hold NaN
    duplicates: pairs of paths of copies and near-duplicates
    curve:      accuracy on the photos for testing over the number of photos for training
    settings:   the values of flags and of the choice, as they are to be shown
    """

    labels: tuple[str, ...]
    photos: Sequence[Photo]
    logits: Logits
    left_out: Sequence[LeftOut]
    duplicates: Sequence[tuple[Path, Path]]
    curve: Sequence[tuple[int, int, int]]
    settings: Mapping[str, Any]

    def of(self, part: Part) -> NDArray[np.int64]:
        """The numbers of the photos in a part."""
        return np.array([n for n, photo in enumerate(self.photos) if photo.part == part], np.int64)

    @property
    def truth(self) -> NDArray[np.int64]:
        """The labels' numbers of the photos."""
        return np.array([photo.label for photo in self.photos], np.int64)

    def accuracy(self, part: Part) -> Interval:
        """The accuracy on a part."""
        own = self.of(part)
        return wilson(int((self.logits[own].argmax(axis=1) == self.truth[own]).sum()), len(own))


def facts(training: Training) -> dict[str, Any]:
    """The report as values for JSON."""
    test = training.of("test")
    truth, probabilities = training.truth[test], softmax(training.logits[test])
    counts = confusion(truth, probabilities.argmax(axis=1), len(training.labels))
    bins = calibration(truth, probabilities)
    return {
        "labels": training.labels,
        "photos": _photos_by_label(training),
        "left_out": [{"file": str(each.path), "reason": each.reason} for each in training.left_out],
        "left_out_reasons": dict(Counter(each.reason for each in training.left_out).most_common()),
        "settings": training.settings,
        "test": {**asdict(training.accuracy("test")), "photos": len(test), "confidence": 0.95},
        "validation": {**asdict(training.accuracy("validation")), "photos": len(training.of("validation"))},
        "by_label": [asdict(each) for each in by_label(counts, training.labels)],
        "confusion": counts.tolist(),
        "calibration": {"bins": [asdict(each) for each in bins], "error": calibration_error(bins)},
        "learning_curve": [
            {"photos": photos, **asdict(wilson(right, of)), "test_photos": of} for photos, right, of in training.curve
        ],
        "mistakes": _mistakes(training, test, probabilities),
        "suspects": _suspects(training),
        "duplicates": [[str(one), str(other)] for one, other in training.duplicates],
    }


def _photos_by_label(training: Training) -> dict[str, dict[str, int]]:
    counts = Counter((photo.label, photo.part) for photo in training.photos)
    parts: tuple[Part, ...] = ("train", "validation", "test")
    return {label: {part: counts[n, part] for part in parts} for n, label in enumerate(training.labels)}


def _mistakes(training: Training, test: NDArray[np.int64], probabilities: NDArray[np.float64]) -> list[dict[str, Any]]:
    """The photos for testing that were labelled wrongly, those of the highest probability first."""
    found = []
    for number, row in zip(test, probabilities, strict=True):
        photo, best = training.photos[number], int(row.argmax())
        if best != photo.label:
            found.append(
                {
                    "file": str(photo.path),
                    "label": training.labels[photo.label],
                    "predicted": training.labels[best],
                    "probability": float(row[best]),
                }
            )
    return sorted(found, key=lambda mistake: -mistake["probability"])


def _suspects(training: Training) -> list[dict[str, Any]]:
    known = np.flatnonzero(np.isfinite(training.logits).all(axis=1))
    found = suspects(training.truth[known], softmax(training.logits[known]))
    return [
        {
            "file": str(training.photos[known[each.photo]].path),
            "label": training.labels[training.photos[known[each.photo]].label],
            "suggested": training.labels[each.suggested],
            "margin": each.margin,
        }
        for each in found
    ]
