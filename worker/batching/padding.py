"""Decoded images of one batch -> the one array that an engine with fixed batch sizes takes.

Only engines on a GPU have fixed sizes (`worker.engines.device.GPU_BATCHES`). Padding, and assembling the next batch
while one runs, have not been measured on a GPU yet: docs/decisions/0022-padding-and-assembling-ahead.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray


def padded_size(images: int, sizes: Sequence[int]) -> int:
    """The smallest of `sizes` that holds `images`; `images` itself if none does."""
    return min((size for size in sizes if size >= images), default=images)


def assemble(images: Sequence[NDArray[np.uint8]], sizes: Sequence[int]) -> Sequence[NDArray[np.uint8]]:
    """uint8 [m, height, width, 3] of n images of one size; m is the smallest of `sizes` that holds them.

    The last image is repeated as padding, so the model sees no values that it has not seen. Without `sizes` there is no
    padding. Raises ValueError for images of different sizes.
    """
    count = padded_size(len(images), sizes)
    batch = np.empty((count, *images[0].shape), np.uint8)
    np.stack(images, out=batch[: len(images)])
    batch[len(images) :] = images[-1]
    return cast("Sequence[NDArray[np.uint8]]", batch)  # an array is a sequence of its rows in all but name
