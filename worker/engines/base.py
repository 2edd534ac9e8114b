"""What an engine is, whatever its framework: uint8 images in, probabilities out.

`frameworks` lists the engines, `loading` loads a model with one of them, `choosing` finds out which is best.
A framework is imported by its own module alone, and only when that engine is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from worker.artifacts.source import Preprocess
from worker.images.decode import ImageSize

FILELESS = frozenset({"echo"})
"""Engines that need no model's files, nor a framework."""

_SIZE_OF_ANY = (224, 224)  # of warm-up images for a model that takes any size
_OCTAVES = (2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class InputSpec:
    """What an engine eats.

    size:   of every image; None if images may have any size
    batch:  the one number of images that the model takes at a time; None if any
    pixels: how they become the model's input, in words: "0..255", "(pixel - 128) / 128, bgr"
    preprocess: the same in full, so that another engine can be told to do alike
    """

    size: ImageSize | None
    batch: int | None = None
    pixels: str = "0..255"
    preprocess: Preprocess = field(default_factory=Preprocess)


class Engine(Protocol):
    """A loaded model of one framework. `predict` is for one caller at a time, from any thread.

    name is that of `--engine`; platform is the Open Inference Protocol's word for the model's format.
    device: "cpu", or "gpu:N"
    fixed_batches: sizes that batches should be padded to, because each new one costs the engine much when it is
        first seen; None if any size is as good
    streams: so many threads may be in `stream` at the same time, each with a core of its own: together they do
        more than `predict` does with all cores, where threads wait for each other; 1 if there is no such way
    """

    name: str
    platform: str
    input: InputSpec
    classes: int
    device: str
    fixed_batches: tuple[int, ...] | None
    streams: int

    def predict(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Probabilities [n, classes] of n images, each [height, width, 3] of the size that `input` says.

        `images` may be one array [n, height, width, 3] already.
        """
        ...

    def stream(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """The same, computed by the calling thread alone."""
        ...

    def close(self) -> None:
        """Give the memory back."""
        ...


class Undivided:
    """What an engine without streams has in their place."""

    streams = 1

    def stream(self: Engine, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """As `predict`."""
        return self.predict(images)


def warmup_images(spec: InputSpec, count: int) -> list[NDArray[np.uint8]]:
    """Images with structure, as an engine with this input eats them; the same at every call.

    Each is a sum of ever finer coloured noise that grows weaker as it grows finer, as photographs are
    (Field, 1987, "Relations between the statistics of natural images"), with an ellipse of a colour on it.
    """
    height, width = (spec.size.height, spec.size.width) if spec.size else _SIZE_OF_ANY
    return [_picture(np.random.default_rng(number), height, width) for number in range(count)]


def _picture(random: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    values = np.zeros((height, width, 3), np.float32)
    for cells in _OCTAVES:
        grid = random.uniform(-200 / cells, 200 / cells, (cells, cells, 3)).astype(np.float32)
        across = np.einsum("hc,cdk->hdk", _between(height, cells), grid)
        values += np.einsum("wd,hdk->hwk", _between(width, cells), across)
    values += random.uniform(80, 170, 3).astype(np.float32)
    rows, columns = np.linspace(-1, 1, height)[:, np.newaxis], np.linspace(-1, 1, width)
    down, right, size = random.uniform((-0.5, -0.5, 0.1), (0.5, 0.5, 0.4))
    values[(rows - down) ** 2 + 2 * (columns - right) ** 2 < size**2] += random.uniform(-90, 90, 3).astype(np.float32)
    return values.clip(0, 255).astype(np.uint8)


def _between(length: int, cells: int) -> NDArray[np.float32]:
    """The matrix [length, cells] that interpolates linearly between `cells` values."""
    places = np.linspace(0, cells - 1, length, dtype=np.float32)[:, np.newaxis]
    weights: NDArray[np.float32] = np.maximum(0, 1 - np.abs(places - np.arange(cells, dtype=np.float32)))
    return weights
