"""Two tensors in, one out: how alike pairs of vectors are."""

from typing import Annotated

import numpy as np
from numpy.typing import NDArray

Vectors = Annotated[NDArray[np.float32], (8,)]


class Similarity:
    """Compares vectors of eight numbers."""

    def load(self) -> None:
        """There is nothing to load."""

    def predict(self, left: Vectors, right: Vectors) -> NDArray[np.float32]:
        """The cosines [n] of the angles between n pairs."""
        lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
        return np.sum(left * right, axis=1) / np.maximum(lengths, np.float32(1e-12))
