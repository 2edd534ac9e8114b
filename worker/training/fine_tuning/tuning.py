"""Photos and the best head so far -> a network with trained last blocks, where cross-validation finds it better.

A child process trains with TensorFlow. Its steps are counted in a file, and another file asks it to stop, so that
Ctrl-C keeps what it has.
"""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass
from functools import partial

from worker.system.child_call import call_in_child_blocking
from worker.training.features.network import Network, read_network
from worker.training.fine_tuning.tail import run
from worker.training.fine_tuning.task import FOLDS, Task
from worker.training.heads.head import Head, Logits
from worker.training.interruption import Stopped
from worker.training.progress import Progress

_LOOK_S = 0.2
_WITHIN_S = 7 * 24 * 3600.0


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
