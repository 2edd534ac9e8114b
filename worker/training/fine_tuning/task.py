"""What the child process that fine-tunes is told, and the files by which it says how far it is and is asked to stop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worker.training.features.network import Network

FOLDS = 3
"""Folds of the cross-validation, which trains as often."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What the child is told.

    paths, truth: the photos for training, and their labels' numbers
    folds:  each photo's fold, 0 to FOLDS - 1
    checking, checking_truth: the photos for validation
    kernel, bias: the layer to start from, over the features of the last layer
    network: the default network, whose size photos are brought to
    folder: for what the child makes
    """

    paths: Sequence[Path]
    truth: NDArray[np.int64]
    folds: NDArray[np.int64]
    checking: Sequence[Path]
    checking_truth: NDArray[np.int64]
    kernel: NDArray[np.float32]
    bias: NDArray[np.float32]
    network: Network
    folder: Path
    steps: int
    learning_rate: float
    batch: int
    interval: int
    seed: int

    @property
    def steps_file(self) -> Path:
        """Has one byte per step that is done."""
        return self.folder / "steps"

    @property
    def stop_file(self) -> Path:
        """Exists when the training is to stop."""
        return self.folder / "stop"
