"""A model whose whole content is one file, for tests of versions: what it answers, and whether it can be loaded.

`publish(root, 3, bright=0.9)` writes version 3 of it; `Loader` is what a store loads it with.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.artifacts.source import ModelSource
from worker.engines.base import InputSpec, SingleStream
from worker.errors import ModelError
from worker.images.decode import ImageSize
from worker.inference.model import Model

LABELS = ("dark", "bright")


def publish(root: Path, version: int, *, bright: float = 0.5, broken: str = "", megabytes: int = 0) -> Path:
    """Version `version`, there as a whole or not at all; its folder. `broken` is why it cannot be loaded."""
    part = root / f"{version}.part"
    part.mkdir(parents=True)
    # Enough files to be told from others: a store knows a model here by the name of this one.
    (part / "model.json").write_text(json.dumps({"bright": bright, "broken": broken, "megabytes": megabytes}))
    folder = root / str(version)
    os.rename(part, folder)
    return folder


class Constant(SingleStream):
    """An engine that answers the same to every image; `megabytes` of memory are its weights."""

    name = "constant"
    platform = "numpy"
    classes = len(LABELS)
    device = "cpu"
    fixed_batches: tuple[int, ...] | None = None

    def __init__(self, bright: float, megabytes: int, hold: threading.Event) -> None:
        self.input = InputSpec(ImageSize(8, 8))
        self._scores = np.array([1 - bright, bright], np.float32)
        self._weights: NDArray[np.uint8] | None = np.ones(megabytes << 20, np.uint8)
        self._hold = hold

    def predict(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        assert self._weights is not None, "the engine was closed while it was used"
        if any(image.max() == 255 for image in images if image.min() == 255):
            self._hold.wait(20)
        assert self._weights is not None, "the engine was closed while it was used"
        return np.repeat(self._scores[np.newaxis], len(images), axis=0)

    def close(self) -> None:
        self._weights = None


class Loader:
    """Loads such models; white images wait in `predict` until `hold` is set. Counts what it opened."""

    def __init__(self) -> None:
        self.hold = threading.Event()
        self.hold.set()
        self.loading = threading.Event()
        self.loading.set()
        self.loads: list[str] = []
        self.engines: list[Constant] = []

    def load(self, source: ModelSource, *, name: str) -> Model:
        """As `worker.inference.model.load`; waits while `loading` is cleared."""
        assert source.path is not None
        self.loads.append(source.path.name)
        self.loading.wait(20)
        said: dict[str, Any] = json.loads((source.path / "model.json").read_text())
        if said["broken"]:
            raise ModelError(said["broken"])
        engine = Constant(said["bright"], said["megabytes"], self.hold)
        self.engines.append(engine)
        return Model(name, "1", LABELS, engine, 1_000_000)

    async def trial_load(self, source: ModelSource, *, name: str, within_s: float) -> None:
        """As `worker.repository.trial_load.trial_load`, without the child process that knows no such models."""
