"""No model at all: answers each image's own shape, for measuring and testing the road without its end.

Two classes, width and height, each with its share of the two: a square gives 0.5 and 0.5.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from worker.engines.base import InputSpec, Undivided

LABELS = ("width", "height")


class Echo(Undivided):
    """The engine that predicts nothing."""

    name = "echo"
    platform = "echo"
    device = "cpu"
    fixed_batches: tuple[int, ...] | None = None
    input = InputSpec(size=None)
    classes = len(LABELS)

    def predict(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Shares [n, 2] of width and height of n images."""
        sizes = np.array([(image.shape[1], image.shape[0]) for image in images], np.float32).reshape(-1, 2)
        shares: NDArray[np.float32] = sizes / sizes.sum(axis=1, keepdims=True)
        return shares

    def close(self) -> None:
        """Nothing to give back."""
