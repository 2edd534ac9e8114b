"""What a framework's function can do -> what the `Engine` protocol promises: any number of images, float32 rows.

Each framework's module makes a function of the images that its model takes in one call; the rest is the same
for all: batches of a fixed size are cut and filled up, outputs become [n, classes], failures become ModelError.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.engines.base import InputSpec, warmup_images
from worker.errors import ModelError

Run = Callable[[Sequence[NDArray[np.uint8]]], NDArray[Any]]
"""From images of one size, exactly as many as the model takes at a time, to scores [n, ...] or [classes]."""


class Runner:
    """An engine around `run`, which is tried once. Raises ModelError if that fails.

    `on_one_core` is the same function for a thread that computes alone, and for `streams` threads at once.
    """

    def __init__(
        self,
        run: Run,
        spec: InputSpec,
        *,
        name: str,
        platform: str,
        device: str = "cpu",
        fixed_batches: tuple[int, ...] | None = None,
        on_one_core: Run | None = None,
        streams: int = 1,
    ) -> None:
        self._run: Run | None = run
        self._on_one_core: Run | None = on_one_core or run
        self.streams = streams
        self.input = spec
        self.name = name
        self.platform = platform
        self.device = device
        self.fixed_batches = fixed_batches
        self.classes = self.predict(warmup_images(spec, 1)).shape[1]

    def predict(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """The model's outputs [n, classes] for n images, in as many calls as its input asks for."""
        return self._predicted(self._run, images)

    def stream(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """The same, computed by the calling thread."""
        return self._predicted(self._on_one_core, images)

    def close(self) -> None:
        """Let go of the framework's objects and their memory."""
        self._run = self._on_one_core = None

    def _predicted(self, run: Run | None, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        if run is None:
            raise ModelError("The model is closed.")
        at_once = self.input.batch or len(images)
        if len(images) == at_once:
            return self._call(run, images)
        parts = [self._call(run, images[at : at + at_once]) for at in range(0, len(images), at_once)]
        return np.concatenate(parts)

    def _call(self, run: Run, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        missing = (self.input.batch or 0) - len(images)
        filled = images if missing <= 0 else [*images, *[images[-1]] * missing]
        try:
            scores = np.asarray(run(filled), np.float32).reshape(len(filled), -1)
        except Exception as error:  # a framework raises whatever its layers raise
            raise ModelError(f"The model failed on {len(images)} images: {first_line(error)}") from error
        return scores[: len(images)]


def first_line(error: BaseException) -> str:
    """A framework's error without the page that may follow."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
