"""Batches for fine-tuning go through all photos, and repeat with the same seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from worker.training.features.network import Layer, Network
from worker.training.fine_tuning.tail import batches
from worker.training.fine_tuning.task import Task


def task(folder: Path, *, steps: int, batch: int, seed: int = 0) -> Task:
    network = Network(folder, "id", 224, "crop", "bicubic", "out:0", (Layer("last", "a:0", 0, 2),), {"last": ("last",)})
    nothing = np.zeros(0, np.int64)
    return Task(
        paths=[],
        truth=nothing,
        folds=nothing,
        checking=[],
        checking_truth=nothing,
        kernel=np.zeros((2, 2), np.float32),
        bias=np.zeros(2, np.float32),
        network=network,
        folder=folder,
        steps=steps,
        learning_rate=0.1,
        batch=batch,
        interval=1,
        seed=seed,
    )


def test_every_photo_comes_once_before_one_comes_again(tmp_path: Path) -> None:
    """Ten photos in batches of four: after five batches each photo has come twice."""
    numbers = np.arange(100, 110)
    made = list(batches(numbers, task(tmp_path, steps=5, batch=4)))
    assert [len(batch) for batch in made] == [4] * 5
    assert sorted(np.concatenate(made)) == sorted([*numbers, *numbers])


def test_a_batch_may_be_larger_than_all_photos(tmp_path: Path) -> None:
    """Three photos fill a batch of eight, and two seeds order them differently."""
    (batch,) = batches(np.arange(3), task(tmp_path, steps=1, batch=8))
    assert set(batch) == {0, 1, 2}
    first, other = (list(batches(np.arange(50), task(tmp_path, steps=2, batch=8, seed=seed))) for seed in (0, 1))
    assert not np.array_equal(first, other)
    again = list(batches(np.arange(50), task(tmp_path, steps=2, batch=8)))
    assert np.array_equal(first, again)
