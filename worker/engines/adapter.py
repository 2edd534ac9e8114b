"""A framework's function -> an `Engine`, which takes any number of images and gives float32 rows.

Each framework's module makes a function for the images that its model takes in one call. The rest is the same for all:
batches are cut and filled up to a fixed size, outputs become [n, classes], failures become ModelError.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.engines.base import InputSpec, Upload
from worker.engines.sample_images import sample_images
from worker.errors import Busy, ModelError, OutOfMemory

Forward = Callable[[Sequence[NDArray[np.uint8]]], NDArray[Any]]
"""Images of one size, exactly as many as the model takes in one call -> scores [n, ...] or [classes]."""


class EngineAdapter:
    """An engine that calls `forward`, and tries it once when it is made. Raises ModelError if that fails.

    `upload` brings a batch to the device for which `forward` is called next.
    `on_one_core` is the same function computed by the calling thread only, for `streams` threads at a time.
    """

    def __init__(
        self,
        forward: Forward,
        spec: InputSpec,
        *,
        name: str,
        platform: str,
        device: str = "cpu",
        fixed_batches: tuple[int, ...] | None = None,
        on_one_core: Forward | None = None,
        streams: int = 1,
        labels: tuple[str, ...] | None = None,
        upload: Upload | None = None,
    ) -> None:
        self._forward: Forward | None = forward
        self._on_one_core: Forward | None = on_one_core or forward
        self._upload = upload
        self.streams = streams
        self.labels = labels
        self.input = spec
        self.name = name
        self.platform = platform
        self.device = device
        self.fixed_batches = fixed_batches
        self.classes = self.predict(sample_images(spec, 1)).shape[1]

    @property
    def upload(self) -> Upload | None:
        """Brings a batch to the device; None where nothing is brought, or where batches are cut before."""
        return None if self.input.batch or self._upload is None else self._uploaded

    def predict(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """The model's outputs [n, classes] for n images, in as many calls as its batch size requires."""
        return self._predicted(self._forward, images)

    def stream(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """As `predict`, computed by the calling thread only."""
        return self._predicted(self._on_one_core, images)

    def close(self) -> None:
        """Release the framework's objects and their memory."""
        self._forward = self._on_one_core = self._upload = None

    def _uploaded(self, images: Sequence[NDArray[np.uint8]]) -> Sequence[NDArray[np.uint8]]:
        """As `upload`; a batcher that still has this method keeps no memory of a closed model."""
        if self._upload is None:
            raise ModelError("The model is closed.")
        return self._upload(images)

    def _predicted(self, forward: Forward | None, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        if forward is None:
            raise ModelError("The model is closed.")
        batch = self.input.batch or len(images)
        if len(images) == batch:
            return self._call(forward, images)
        parts = [self._call(forward, images[at : at + batch]) for at in range(0, len(images), batch)]
        return np.concatenate(parts)

    def _call(self, forward: Forward, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        missing = (self.input.batch or 0) - len(images)
        filled = images if missing <= 0 else [*images, *[images[-1]] * missing]
        try:
            scores = np.asarray(forward(filled), np.float32).reshape(len(filled), -1)
        except (Busy, OutOfMemory):  # no fault of the images, and no other image would do
            raise
        except Exception as error:  # the layers of a framework may raise anything
            raise ModelError(f"The model failed on {len(images)} images: {first_line(error)}") from error
        return scores[: len(images)]


def first_line(error: BaseException) -> str:
    """The first line of a framework's error, which may be a page long."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
