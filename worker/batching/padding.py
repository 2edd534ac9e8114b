"""Decoded images of one batch -> the one array that an engine with fixed batch sizes takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from worker.batching.policy import padded


def assemble(images: Sequence[NDArray[np.uint8]], sizes: Sequence[int]) -> Sequence[NDArray[np.uint8]]:
    """uint8 [m, height, width, 3] of n images of one size; m is the smallest of `sizes` that holds them.

    The last image is repeated as padding: whatever the model does to it, it has done before. Without `sizes`
    there is no padding. Raises ValueError for images of different sizes.
    """
    count = padded(len(images), sizes)
    batch = np.empty((count, *images[0].shape), np.uint8)
    np.stack(images, out=batch[: len(images)])
    batch[len(images) :] = images[-1]
    return cast("Sequence[NDArray[np.uint8]]", batch)  # an array is a sequence of its rows in all but name
