"""Folds keep groups together and labels balanced."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from worker.training.heads.folds import folds_of


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40)), min_size=8, max_size=80), st.integers(0, 5))
def test_a_group_is_in_one_fold(photos: list[tuple[int, int]], seed: int) -> None:
    """Whatever labels and groups are, a group has one fold, and the same seed gives the same folds."""
    labels, groups = np.array([label for label, _ in photos]), [str(group) for _, group in photos]
    folds = folds_of(labels, groups, seed=seed)
    assert all(len({folds[n] for n, group in enumerate(groups) if group == one}) == 1 for one in set(groups))
    assert np.array_equal(folds, folds_of(labels, groups, seed=seed))


def test_labels_are_balanced() -> None:
    """Of groups of one photo each, every fold has a fifth of each label; few photos make fewer folds."""
    labels = np.repeat([0, 1, 2], 20)
    folds = folds_of(labels, [str(n) for n in range(60)], seed=0)
    assert all(np.bincount(folds[labels == label]).tolist() == [4] * 5 for label in range(3))
    few = folds_of(np.array([0, 0, 0, 1, 1, 1, 1]), [str(n) for n in range(7)], seed=0)
    assert few.max() == 2
