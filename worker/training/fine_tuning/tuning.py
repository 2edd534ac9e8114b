"""Photos and the best head so far -> a network with trained last blocks, where cross-validation finds it better.

A child process trains with TensorFlow. Its steps are counted in a file, and another file asks it to stop, so that
Ctrl-C keeps what it has.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worker.system.child_call import call_in_child_blocking
from worker.training.features.network import Network, read_network
from worker.training.heads.head import Head, Logits
from worker.training.interruption import Stopped
from worker.training.progress import Progress

FOLDS = 3
"""Folds of the cross-validation, which trains as often."""

_LOOK_S = 0.2
_WITHIN_S = 7 * 24 * 3600.0


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


@dataclass(frozen=True)
class Tuned:
    """The outcome.

    logits: of each photo for training, by the network that was trained without its fold; None if it was stopped before
    network, head: the network that was trained on all, and its softmax layer
    """

    logits: Logits | None
    network: Network
    head: Head


def tune(task: Task, *, progress: Progress, stopped: Stopped) -> Tuned:
    """Train; raises ModelError if the child fails."""
    from worker.training.fine_tuning.tail import run

    progress.stage("Fine-tuning", task.steps * (FOLDS + 1))
    task.steps_file.touch()
    shown = 0
    with ThreadPoolExecutor(1, thread_name_prefix="fine-tuning") as threads:
        outcome = threads.submit(call_in_child_blocking, partial(run, task), within_s=_WITHIN_S)
        while True:
            try:
                logits, kernel, bias = outcome.result(timeout=_LOOK_S)
            except NotYet:
                if outcome.done():
                    raise
                if stopped():
                    task.stop_file.touch()
                done = task.steps_file.stat().st_size
                progress.advance(done - shown)
                shown = done
            else:
                break
    network = read_network(task.folder)
    return Tuned(logits, network, Head(network.layers, (kernel,), bias))


def folder_for_tuning() -> tempfile.TemporaryDirectory[str]:
    """A folder that is removed with what the child has made."""
    return tempfile.TemporaryDirectory(prefix="p2p-fine-tuning-")
