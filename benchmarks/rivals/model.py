"""The model that every rival of the worker serves, in one of two ways.

The environment names it, since frameworks start processes of their own. RIVAL_MODEL is the SavedModel's folder.
RIVAL_ENGINE is the engine of table (a), which all contestants have in common, with the worker's decoder; without it
the model is served as quickstarts do, for table (b): Pillow, and the SavedModel's own signature. RIVAL_SETTINGS is a
JSON object of the integers that a rival's file names: sizes, waits, numbers of processes, and `threads`.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.affinity import cores

MODEL, ENGINE, SETTINGS = "RIVAL_MODEL", "RIVAL_ENGINE", "RIVAL_SETTINGS"
TOP = 5
EDGE = 224

Pixels = NDArray[np.uint8]


class Classifier(Protocol):
    """Encoded image -> uint8 [height, width, 3] -> scores [n, classes] -> the best labels with their scores."""

    def decode(self, data: bytes) -> Pixels: ...

    def predict(self, batch: Sequence[Pixels]) -> NDArray[np.float32]: ...

    def top(self, scores: NDArray[np.float32], k: int) -> list[tuple[str, float]]: ...


def best_setup() -> bool:
    """Whether this is table (a): the best documented configuration on the shared engine."""
    return bool(os.environ.get(ENGINE))


def setting(name: str) -> int:
    """One of the settings of table (a)."""
    return int(json.loads(os.environ[SETTINGS])[name])


def load() -> Classifier:
    """The model that the environment names; its engine has `threads` threads, or one per core if that is 0."""
    folder = Path(os.environ[MODEL])
    if not best_setup():
        return Signature(folder)
    from worker.artifacts.source import ModelSource
    from worker.inference.model import load as load_model

    with cores(setting("threads"), first=os.getpid()):
        return load_model(ModelSource(path=folder, engine=os.environ[ENGINE]), name="classify")


def classify(model: Classifier, images: Sequence[Pixels]) -> list[list[tuple[str, float]]]:
    """The best labels of each decoded image, from one prediction."""
    return [model.top(row, TOP) for row in model.predict(images)]


class Signature:
    """A SavedModel's serving signature, called as TensorFlow's documentation shows."""

    def __init__(self, folder: Path) -> None:
        import tensorflow as tf

        self._tf: Any = tf
        self._keep = tf.saved_model.load(str(folder))
        self._call = self._keep.signatures["serving_default"]
        self._labels = (folder / "labels.txt").read_text("utf-8").splitlines()

    def decode(self, data: bytes) -> Pixels:
        from PIL import Image

        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB").resize((EDGE, EDGE)))

    def predict(self, batch: Sequence[Pixels]) -> NDArray[np.float32]:
        scores: NDArray[np.float32] = self._call(images=self._tf.constant(np.stack(batch)))["probabilities"].numpy()
        return scores

    def top(self, scores: NDArray[np.float32], k: int) -> list[tuple[str, float]]:
        return [(self._labels[index], float(scores[index])) for index in np.argsort(-scores)[:k]]
