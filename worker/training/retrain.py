"""Photos in folders -> a model for their labels: transfer learning, as in the article's retrain.py.

photos -> features of each photo from the default model's penultimate layer (cached in the output folder, so that a
second run is quick) -> a softmax layer learns the labels from the features -> default model and new layer together as a
SavedModel with labels.txt and model.toml, which `p2p worker --model OUT` serves.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worker.artifacts.labels import write_labels
from worker.artifacts.preprocess_config import write_preprocess
from worker.artifacts.source import DEFAULT_MAX_PIXELS
from worker.default_model import export
from worker.engines.tensorflow.quiet_import import quiet_tensorflow
from worker.errors import RetrainError, WorkerError
from worker.images.decode import ImageSize, decode
from worker.training.photo_split import Part, Photo, assign, find_photos

with quiet_tensorflow():
    import keras

from worker.default_model import efficientnet_lite0

Features = NDArray[np.float32]
Say = Callable[[str], None]

_SIZE = ImageSize(efficientnet_lite0.EDGE, efficientnet_lite0.EDGE, "crop", "bicubic")
_FEATURE_BATCH = 16  # photos whose features are computed in one call
_BATCH = 100  # photos a training step, as in retrain.py
_LEARNING_RATE = 0.005


@dataclass(frozen=True)
class RetrainResult:
    """The result: the model's folder, its labels, the number of photos by use, and the accuracy."""

    out: Path
    labels: tuple[str, ...]
    train: int
    validation: int
    test: int
    skipped: int
    test_accuracy: float

    def __str__(self) -> str:
        """The text that the command prints."""
        return (
            f"Test accuracy {self.test_accuracy:.1%} on {self.test} photos that were not trained on. "
            f"Serve it: p2p worker --model {self.out}"
        )


def retrain(*, image_dir: Path, out: Path, steps: int = 200, say: Say = print) -> RetrainResult:
    """Train a model for the labels that the sub-folders of `image_dir` are named for, into `out`.

    `say` gets lines of progress, and a line for each photo that cannot be read and is left out.
    Raises RetrainError for fewer than two labels or too few photos, ModelError if the default model is missing.
    """
    folders = find_photos(image_dir, exclude=out)
    weights = export.weights()
    body = efficientnet_lite0.features(weights)
    features = _features_of([file for files in folders.values() for file in files], out / "bottlenecks", body, say)
    photos = _photos(folders, features)
    rows, truth = np.stack([features[photo.path] for photo in photos]), np.array([photo.label for photo in photos])
    kernel, bias = _train(photos, rows, truth, labels=len(folders), steps=steps, say=say)
    test = _of(photos, "test")
    accuracy = _accuracy(rows[test] @ kernel + bias, truth[test])
    _write(out, efficientnet_lite0.with_head(body, kernel, bias), tuple(folders))
    train, validation = len(_of(photos, "train")), len(_of(photos, "validation"))
    skipped = sum(map(len, folders.values())) - len(photos)
    return RetrainResult(out, tuple(folders), train, validation, len(test), skipped, accuracy)


def _features_of(files: Sequence[Path], cache: Path, body: keras.Model, say: Say) -> dict[Path, Features]:
    """The features [1280] of each photo, from `cache` if they were computed before."""
    folder = cache / export.digest()[:12]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RetrainError(f"{cache.parent} cannot be written ({error}): name another folder with --out.") from error
    features: dict[Path, Features] = {}
    waiting: list[tuple[Path, Path, NDArray[np.uint8]]] = []
    for number, file in enumerate(files, start=1):
        try:
            data = file.read_bytes()
            place = folder / f"{hashlib.sha256(data).hexdigest()}.npy"
            if place.is_file():
                features[file] = np.load(place)
            else:
                waiting.append((file, place, decode(data, size=_SIZE, max_pixels=DEFAULT_MAX_PIXELS)))
        except (OSError, WorkerError) as error:
            say(f"{file} is left out: {error}")
        if len(waiting) == _FEATURE_BATCH or number == len(files):
            features |= _compute(waiting, body)
            waiting.clear()
        if number % 100 == 0 or number == len(files):
            say(f"Looked at {number} of {len(files)} photos.")
    return features


def _compute(waiting: Sequence[tuple[Path, Path, NDArray[np.uint8]]], body: keras.Model) -> dict[Path, Features]:
    if not waiting:
        return {}
    rows: Features = body.predict_on_batch(np.stack([image for _, _, image in waiting]))
    for (_, place, _), row in zip(waiting, rows, strict=True):
        part = place.with_suffix(".part.npy")
        np.save(part, row)
        os.replace(part, place)  # a run that is stopped leaves no half-written file
    return {file: row for (file, _, _), row in zip(waiting, rows, strict=True)}


def _photos(folders: Mapping[str, Sequence[Path]], features: Mapping[Path, Features]) -> list[Photo]:
    """The photos that could be read, each with its label's number and its part."""
    photos = []
    for number, (label, files) in enumerate(folders.items()):
        usable = [file for file in files if file in features]
        parts = assign(label, [file.name for file in usable])
        photos += [Photo(file, number, part) for file, part in zip(usable, parts, strict=True)]
    return photos


def _train(
    photos: Sequence[Photo], rows: Features, truth: NDArray[np.int64], *, labels: int, steps: int, say: Say
) -> tuple[Features, Features]:
    """Kernel [1280, labels] and bias [labels] of a softmax layer, trained on random batches of training photos."""
    layer = keras.layers.Dense(labels, activation="softmax", kernel_initializer="zeros")
    head = keras.Sequential([keras.Input((efficientnet_lite0.FEATURES,)), layer])
    head.compile(optimizer=keras.optimizers.Adam(_LEARNING_RATE), loss="sparse_categorical_crossentropy")
    training, checking = _of(photos, "train"), _of(photos, "validation")
    random = np.random.default_rng(0)
    for step in range(1, steps + 1):
        batch = random.choice(training, min(_BATCH, training.size), replace=False)
        head.train_on_batch(rows[batch], truth[batch])
        if step % max(1, steps // 10) == 0 or step == steps:
            kernel, bias = layer.get_weights()
            accuracy = _accuracy(rows[checking] @ kernel + bias, truth[checking])
            say(f"Step {step} of {steps}: validation accuracy {accuracy:.1%}.")
    kernel, bias = layer.get_weights()
    return kernel, bias


def _of(photos: Sequence[Photo], part: Part) -> NDArray[np.int64]:
    """The indices of the photos in `part`."""
    return np.array([number for number, photo in enumerate(photos) if photo.part == part], dtype=np.int64)


def _accuracy(scores: Features, truth: NDArray[np.int64]) -> float:
    return float((scores.argmax(axis=1) == truth).mean())


def _write(out: Path, model: keras.Model, labels: tuple[str, ...]) -> None:
    """Export to a temporary folder, then replace the files of an earlier run, the graph last."""
    part = Path(tempfile.mkdtemp(prefix="making-", dir=out))
    try:
        efficientnet_lite0.export(model, part)
        write_labels(part, labels)
        write_preprocess(part, export.PREPROCESS)
        for item in sorted(part.iterdir(), key=lambda entry: entry.name == "saved_model.pb"):
            if item.is_dir():
                shutil.rmtree(out / item.name, ignore_errors=True)
            os.replace(item, out / item.name)
    finally:
        shutil.rmtree(part)
