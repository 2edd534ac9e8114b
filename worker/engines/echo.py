"""An engine without a model, for measuring and testing all that comes before a prediction.

Its two classes, width and height, are each image's own shares of their sum: a square gives 0.5 and 0.5.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from worker.engines.base import InputSpec, SingleStream

LABELS = ("width", "height")


class Echo(SingleStream):
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
