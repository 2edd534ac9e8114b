"""Photos in a wrong folder are found by what heads that have not seen them say."""

from __future__ import annotations

import numpy as np

from worker.training.report.suspects import suspects


def test_a_photo_in_a_wrong_folder_is_suspect() -> None:
    """Of photos that are predicted clearly, the one with another label's probability is named, the clearest first."""
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.85, 0.15], [0.1, 0.9], [0.2, 0.8], [0.02, 0.98], [0.1, 0.9]])
    found = suspects(np.array([0, 0, 0, 1, 1, 0, 0]), probabilities)
    assert [(each.photo, each.suggested) for each in found] == [(5, 1), (6, 1)]
    assert found[0].margin > found[1].margin


def test_a_hard_photo_is_not_suspect() -> None:
    """A photo that is only unsure stays below what its neighbours' label has on average."""
    probabilities = np.array([[0.95, 0.05], [0.9, 0.1], [0.45, 0.55], [0.1, 0.9], [0.05, 0.95]])
    assert suspects(np.array([0, 0, 0, 1, 1]), probabilities) == []
