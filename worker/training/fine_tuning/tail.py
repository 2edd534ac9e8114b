"""The child's side: photos -> outputs of the blocks that stay, once -> the blocks after them are trained.

What the first blocks make of a photo does not change, so it is computed once and kept on disk; training the rest is
then several times faster. Batch normalization stays as it is, because the batches are small.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.artifacts.source import DEFAULT_MAX_PIXELS
from worker.engines.tensorflow.quiet_import import quiet_tensorflow
from worker.images.decode import decode
from worker.training.fine_tuning.task import FOLDS, Task

_SPLIT = 10
"""The last block that stays as it is; the five after it hold nine tenths of the network's weights."""

_DECODED = 32

Activations = NDArray[np.float16]
Layer = tuple[NDArray[np.float32], NDArray[np.float32]]


def run(task: Task) -> tuple[NDArray[np.float64] | None, NDArray[np.float32], NDArray[np.float32]]:
    """Logits out of fold (None if stopped before), kernel and bias; graph.pb and network.json go into the folder."""
    from worker.default_model import efficientnet_lite0, export
    from worker.training.features.keras_network import LAST, KerasNetwork, write

    with quiet_tensorflow():
        import keras

    keras.utils.set_random_seed(task.seed)
    body = efficientnet_lite0.features(export.weights())
    split = efficientnet_lite0.activations(body)[_SPLIT].end
    front = keras.Model(body.inputs, split)
    training = _activations(front, task, task.paths, task.folder / "training.npy")
    checking = _activations(front, task, task.checking, task.folder / "checking.npy")
    tail = _Tail(keras, split, body.outputs[0], task)
    logits: NDArray[np.float64] | None = np.zeros((len(task.truth), task.bias.size))
    for fold in range(FOLDS):
        held = task.folds == fold
        tail.train(training, np.flatnonzero(~held), None)
        if task.stop_file.exists():
            logits = None
            break
        assert logits is not None
        logits[held] = tail.logits(training, np.flatnonzero(held))
    tail.train(training, np.arange(len(task.truth)), checking if len(checking) else None)
    write(
        task.folder, KerasNetwork(body.inputs[0], efficientnet_lite0.EDGE, {LAST: body.outputs[0]}, {"last": (LAST,)})
    )
    return logits, *tail.head()


def _activations(front: Any, task: Task, paths: Sequence[Path], file: Path) -> Activations:
    """The outputs of the blocks that stay [n, 14, 14, 112], on disk."""
    made: Activations = np.lib.format.open_memmap(file, "w+", np.float16, (len(paths), *front.output.shape[1:]))
    for start in range(0, len(paths), _DECODED):
        some = paths[start : start + _DECODED]
        images = [decode(path.read_bytes(), size=task.network.size, max_pixels=DEFAULT_MAX_PIXELS) for path in some]
        made[start : start + len(some)] = front.predict_on_batch(np.stack(images))
    return made


class _Tail:
    """The blocks that are trained, with a layer of logits; `train` begins each time from the same weights."""

    def __init__(self, keras: Any, split: Any, features: Any, task: Task) -> None:
        self._task = task
        self._layer = keras.layers.Dense(task.bias.size, name="logits")
        self._model = keras.Model(split, self._layer(features))
        for layer in self._model.layers:
            layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
        self._layer.set_weights([task.kernel, task.bias])
        self._start = self._model.get_weights()
        self._optimizer = keras.optimizers.Adam
        self._loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def train(self, photos: Activations, numbers: NDArray[np.int64], checking: Activations | None) -> None:
        """Train on these photos; with photos for validation the weights with the lowest loss on them are kept."""
        task = self._task
        self._model.set_weights(self._start)
        self._model.compile(optimizer=self._optimizer(task.learning_rate), loss=self._loss)
        best = None if checking is None else (self._loss_on(checking), self._start)
        for step, batch in enumerate(batches(numbers, task), start=1):
            self._model.train_on_batch(photos[batch].astype(np.float32), task.truth[batch])
            with task.steps_file.open("ab") as counted:
                counted.write(b".")
            if checking is not None and best is not None and (step % task.interval == 0 or step == task.steps):
                loss = self._loss_on(checking)
                if loss < best[0]:
                    best = (loss, self._model.get_weights())
            if task.stop_file.exists():
                break
        if best is not None:
            self._model.set_weights(best[1])

    def logits(self, photos: Activations, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
        """The logits of these photos."""
        parts = [
            self._model.predict_on_batch(photos[numbers[start : start + _DECODED]].astype(np.float32))
            for start in range(0, len(numbers), _DECODED)
        ]
        return np.concatenate(parts).astype(np.float64)

    def head(self) -> Layer:
        """The kernel and bias of the last layer."""
        kernel, bias = self._layer.get_weights()
        return kernel, bias

    def _loss_on(self, checking: Activations) -> float:
        logits = self.logits(checking, np.arange(len(checking)))
        return float(self._loss(self._task.checking_truth, logits))


def batches(numbers: NDArray[np.int64], task: Task) -> Iterator[NDArray[np.int64]]:
    """`task.steps` batches in random order; every photo comes once before one comes again."""
    random = np.random.default_rng(task.seed)
    order = np.empty(0, np.int64)
    for _ in range(task.steps):
        while len(order) < task.batch:
            order = np.concatenate([order, random.permutation(numbers)])
        batch, order = order[: task.batch], order[task.batch :]
        yield np.sort(batch)  # sorted: neighbours on disk
