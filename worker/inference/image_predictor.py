"""What every protocol needs of whatever answers for a model's name: images in, scores out, in time."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from registry.security.permission import UNLIMITED, Permission
from worker.batching.queue import Image, Scores
from worker.inference.model import Model
from worker.telemetry.metrics import ModelMetrics


class ImagePredictor(Protocol):
    """A model with its queue, or a cascade of several: `model` says what it takes and which labels it gives."""

    @property
    def model(self) -> Model:
        """What is served."""
        ...

    @property
    def numbers(self) -> ModelMetrics:
        """Its metrics."""
        ...

    def deadline_s(self, timeout_s: float | None) -> float:
        """The monotonic time by which a request that arrives now must be answered."""
        ...

    def receiving(self, *, deadline_s: float, permission: Permission = UNLIMITED) -> AbstractContextManager[object]:
        """A context around reading a request's body. Raises Busy, before a byte of it is read."""
        ...

    async def predict(
        self, encoded: Sequence[bytes], *, deadline_s: float, permission: Permission = UNLIMITED
    ) -> list[Scores]:
        """Scores [classes] of each encoded image, in order.

        Raises a WorkerError if any of them has none, OverQuota where the caller has too few places.
        """
        ...

    async def predict_arrays(
        self, images: Sequence[Image], *, deadline_s: float, permission: Permission = UNLIMITED
    ) -> list[Scores]:
        """Scores [classes] of each decoded image, uint8 [height, width, 3], in order."""
        ...

    def describe(self) -> dict[str, Any]:
        """What /readyz says about it, as values for JSON."""
        ...
