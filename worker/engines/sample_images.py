"""Pictures with structure, for calibrating engines, comparing them and finding out how a model behaves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from worker.engines.base import InputSpec

ANY_SIZE = (224, 224)
"""Height and width of the images for a model that takes any size."""

_OCTAVES = (2, 4, 8, 16, 32, 64)


def sample_images(spec: InputSpec, count: int) -> list[NDArray[np.uint8]]:
    """`count` uint8 images [height, width, 3] for an engine with this input; the same at every call.

    Each is a sum of ever finer coloured noise that grows weaker as it grows finer, like the statistics of photographs
    (Field, 1987, "Relations between the statistics of natural images"), with a coloured ellipse on it.
    """
    height, width = (spec.size.height, spec.size.width) if spec.size else ANY_SIZE
    return [_picture(np.random.default_rng(number), height, width) for number in range(count)]


def _picture(random: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    values = np.zeros((height, width, 3), np.float32)
    for cells in _OCTAVES:
        grid = random.uniform(-200 / cells, 200 / cells, (cells, cells, 3)).astype(np.float32)
        across = np.einsum("hc,cdk->hdk", _interpolation(height, cells), grid)
        values += np.einsum("wd,hdk->hwk", _interpolation(width, cells), across)
    values += random.uniform(80, 170, 3).astype(np.float32)
    rows, columns = np.linspace(-1, 1, height)[:, np.newaxis], np.linspace(-1, 1, width)
    down, right, size = random.uniform((-0.5, -0.5, 0.1), (0.5, 0.5, 0.4))
    values[(rows - down) ** 2 + 2 * (columns - right) ** 2 < size**2] += random.uniform(-90, 90, 3).astype(np.float32)
    return values.clip(0, 255).astype(np.uint8)


def _interpolation(length: int, cells: int) -> NDArray[np.float32]:
    """The matrix [length, cells] that interpolates linearly between `cells` values."""
    places = np.linspace(0, cells - 1, length, dtype=np.float32)[:, np.newaxis]
    weights: NDArray[np.float32] = np.maximum(0, 1 - np.abs(places - np.arange(cells, dtype=np.float32)))
    return weights
