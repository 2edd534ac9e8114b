"""Accuracy, intervals, precision, recall and calibration are what their definitions say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.training.report.measures import by_label, calibration, calibration_error, confusion, wilson


@pytest.mark.parametrize(
    ("right", "photos", "low", "high"),
    [
        (9, 10, 0.5958, 0.9821),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (0, 0, 0.0, 1.0),
        (500, 1000, 0.4691, 0.5309),
    ],
)
def test_wilsons_interval(right: int, photos: int, low: float, high: float) -> None:
    """Values that other programs give, too, at the ends as well."""
    interval = wilson(right, photos)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-4)


@given(st.integers(1, 500), st.data())
def test_the_interval_holds_the_share(photos: int, data: st.DataObject) -> None:
    """Low, share and high are in this order, within 0 and 1."""
    interval = wilson(data.draw(st.integers(0, photos)), photos)
    assert 0 <= interval.low <= interval.share + 1e-12
    assert interval.share - 1e-12 <= interval.high <= 1


def test_precision_and_recall() -> None:
    """Of a label that nobody predicted the precision is undefined, of one without photos the recall."""
    counts = confusion(np.array([0, 0, 0, 1]), np.array([0, 0, 2, 0]), 3)
    assert counts.tolist() == [[2, 0, 1], [1, 0, 0], [0, 0, 0]]
    a, b, c = by_label(counts, ("a", "b", "c"))
    assert (a.precision, a.recall, a.photos) == (2 / 3, 2 / 3, 3)
    assert (b.precision, b.recall) == (None, 0.0)
    assert (c.precision, c.recall) == (0.0, None)


def test_calibration() -> None:
    """Photos are counted by their best probability; the error is the mean distance of confidence and accuracy."""
    probabilities = np.array([[0.95, 0.05], [0.93, 0.07], [0.35, 0.65], [1.0, 0.0]])
    bins = calibration(np.array([0, 1, 1, 0]), probabilities)
    assert [(each.low, each.photos, each.accuracy) for each in bins] == [(0.6, 1, 1.0), (0.9, 3, 2 / 3)]
    assert calibration_error(bins) == pytest.approx((0.35 + 3 * abs(0.96 - 2 / 3)) / 4)
