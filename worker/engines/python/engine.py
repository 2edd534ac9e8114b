"""A Python file -> an engine: of images and scores, as every classifier, or of tensors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.artifacts.preprocess_config import Preprocess
from worker.engines.adapter import EngineAdapter
from worker.engines.base import InputSpec
from worker.engines.python.annotations import OUTPUT
from worker.engines.python.model_process import ModelProcess
from worker.engines.sample_images import sample_images
from worker.engines.tensors import IMAGE_INPUT, Signature, Tensors, example_of, joined
from worker.errors import ModelError
from worker.images.decode import ImageSize

NAME = "python"


class PythonClassifier(EngineAdapter):
    """An engine whose images go to the process of a Python model that returns scores or labels."""

    def __init__(self, process: ModelProcess, spec: InputSpec) -> None:
        """Raises ModelError where the model fails with a sample image, or has another number of labels than scores."""
        self._process = process
        super().__init__(self._scores, spec, name=NAME, platform=NAME, labels=process.described.labels)
        if self.labels is not None and len(self.labels) != self.classes:
            raise ModelError(f"self.labels has {len(self.labels)} labels, and predict gives {self.classes} scores.")

    @property
    def trouble(self) -> str | None:
        """Why it cannot predict at the moment, as a sentence."""
        return self._process.trouble

    def close(self) -> None:
        """End the process."""
        super().close()
        self._process.close()

    def _scores(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[Any]:
        return joined(self._process.predict({IMAGE_INPUT: images_array(images)})).arrays[OUTPUT]


class PythonTensors:
    """A tensor engine whose rows go to the process of a Python model."""

    name = NAME
    platform = NAME
    device = "cpu"

    def __init__(self, process: ModelProcess, spec: InputSpec) -> None:
        self._process = process
        self._spec = spec
        self.signature: Signature = process.described.signature

    @property
    def input(self) -> InputSpec:
        """The size of images, where the model takes images."""
        return self._spec

    @property
    def trouble(self) -> str | None:
        """Why it cannot predict at the moment, as a sentence."""
        return self._process.trouble

    def example(self) -> Tensors | None:
        """One row: an image, what the model's own `example()` gave, or one made up from the annotations."""
        if self.signature.images:
            return Tensors({IMAGE_INPUT: images_array(sample_images(self._spec, 1))})
        return self._process.described.example or example_of(self.signature.inputs)

    def predict(self, rows: Tensors) -> Sequence[Tensors]:
        """The outputs of all rows, in one part, or one for each row; raises ModelError or Busy."""
        return self._process.predict(rows.arrays)

    def close(self) -> None:
        """End the process."""
        self._process.close()


def load(code: Path, preprocess: Preprocess, *, name: str) -> PythonClassifier | PythonTensors:
    """Start the model in `code`; of the flags about pixels only the size is for the worker. Raises ModelError."""
    _refuse_scaling(preprocess)
    process = ModelProcess(code, name=name)
    try:
        size = preprocess.size
        spec = InputSpec(
            None if size is None else ImageSize(*size, preprocess.resize or "stretch", preprocess.filter or "bilinear"),
            preprocess=preprocess,
        )
        if process.described.gives in ("scores", "labels"):
            return PythonClassifier(process, spec)
        return PythonTensors(process, spec)
    except BaseException:
        process.close()
        raise


def images_array(images: Sequence[NDArray[np.uint8]]) -> NDArray[Any]:
    """Images, whose sizes may differ, as an array of objects [n]."""
    array = np.empty(len(images), dtype=object)
    for number, image in enumerate(images):
        array[number] = image
    return array


def _refuse_scaling(preprocess: Preprocess) -> None:
    given = [name for name in ("channels", "mean", "std", "layout") if getattr(preprocess, name) is not None]
    if given:
        raise ModelError(
            f"A Python model gets RGB pixels from 0 to 255 and scales them itself: leave out {', '.join(given)}."
        )
