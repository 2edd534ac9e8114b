"""Photos in folders -> a model for their labels: transfer learning, as in the article's retrain.py.

photos -> features of each photo from the default model's penultimate layer (cached in the output folder, so that a
second run is quick) -> a softmax layer learns the labels from the features -> default model and new layer together as a
SavedModel with labels.txt and model.toml, which `p2p worker --model OUT` serves.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from worker.artifacts.labels import write_labels
from worker.artifacts.preprocess_config import write_preprocess
from worker.artifacts.source import DEFAULT_MAX_PIXELS
from worker.default_model import export
from worker.engines.tensorflow.quiet_import import quiet_tensorflow
from worker.errors import RetrainError, WorkerError
from worker.images.decode import ImageSize, decode
from worker.training.photo_split import Part, Photo, Say, assign, find_photos

with quiet_tensorflow():
    import keras

from worker.default_model import efficientnet_lite0

Features = NDArray[np.float32]

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
    folders = find_photos(image_dir, out=out, say=say)
    weights = export.weights()
    body = efficientnet_lite0.features(weights)
    seen = _seen([file for files in folders.values() for file in files], out / "bottlenecks", body, say)
    photos = _photos(folders, seen, out / "bottlenecks" / "parts.json")
    rows, truth = np.stack([seen[photo.path].row for photo in photos]), np.array([photo.label for photo in photos])
    kernel, bias = _train(photos, rows, truth, labels=len(folders), steps=steps, say=say)
    test = _of(photos, "test")
    accuracy = _accuracy(rows[test] @ kernel + bias, truth[test])
    _write(out, efficientnet_lite0.with_head(body, kernel, bias), tuple(folders))
    train, validation = len(_of(photos, "train")), len(_of(photos, "validation"))
    skipped = sum(map(len, folders.values())) - len(photos)
    return RetrainResult(out, tuple(folders), train, validation, len(test), skipped, accuracy)


class _Seen(NamedTuple):
    """A photo that could be read: the SHA-256 of its file, and its features [1280]."""

    digest: str
    row: Features


def _seen(files: Sequence[Path], cache: Path, body: keras.Model, say: Say) -> dict[Path, _Seen]:
    """Each photo that can be read, with features from `cache` if they were computed before."""
    folder = cache / export.digest()[:12]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RetrainError(f"{cache.parent} cannot be written ({error}): name another folder with --out.") from error
    seen: dict[Path, _Seen] = {}
    waiting: list[tuple[Path, Path, NDArray[np.uint8]]] = []
    for number, file in enumerate(files, start=1):
        try:
            data = file.read_bytes()
            digest = hashlib.sha256(data).hexdigest()
            place = folder / f"{digest}.npy"
            if place.is_file():
                seen[file] = _Seen(digest, np.load(place))
            else:
                waiting.append((file, place, decode(data, size=_SIZE, max_pixels=DEFAULT_MAX_PIXELS)))
        except (OSError, WorkerError) as error:
            say(f"{file} is left out: {error}")
        if len(waiting) == _FEATURE_BATCH or number == len(files):
            seen |= _compute(waiting, body)
            waiting.clear()
        if number % 100 == 0 or number == len(files):
            say(f"Looked at {number} of {len(files)} photos.")
    return seen


def _compute(waiting: Sequence[tuple[Path, Path, NDArray[np.uint8]]], body: keras.Model) -> dict[Path, _Seen]:
    if not waiting:
        return {}
    rows: Features = body.predict_on_batch(np.stack([image for _, _, image in waiting]))
    for (_, place, _), row in zip(waiting, rows, strict=True):
        part = place.with_suffix(".part.npy")
        np.save(part, row)
        os.replace(part, place)  # a run that is stopped leaves no half-written file
    return {file: _Seen(place.stem, row) for (file, place, _), row in zip(waiting, rows, strict=True)}


def _photos(folders: Mapping[str, Sequence[Path]], seen: Mapping[Path, _Seen], parts_file: Path) -> list[Photo]:
    """The photos that could be read, each with its label's number and its part, which `parts_file` keeps."""
    usable = {label: [file for file in files if file in seen] for label, files in folders.items()}
    named = {label: [(file.name, seen[file].digest) for file in files] for label, files in usable.items()}
    parts = assign(named, kept=_read_parts(parts_file))
    written = parts_file.with_suffix(".part")
    written.write_text(json.dumps(parts))
    os.replace(written, parts_file)
    return [
        Photo(file, number, parts[seen[file].digest]) for number, files in enumerate(usable.values()) for file in files
    ]


def _read_parts(file: Path) -> dict[str, Part]:
    """The parts that an earlier run kept, by digest; none where there was no such run, or its file is damaged."""
    try:
        return {digest: part for digest, part in json.loads(file.read_bytes()).items() if part in get_args(Part)}
    except (OSError, ValueError, AttributeError):
        return {}


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
