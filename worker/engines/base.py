"""The interface of an engine, whatever its framework: uint8 images in, probabilities out.

`frameworks` lists the engines, `load` loads a model with one of them, `selection` finds the fastest. Each framework is
imported by its own engine's module only, and only when that engine is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from worker.artifacts.preprocess_config import Preprocess
from worker.images.decode import ImageSize

FILELESS = frozenset({"echo"})
"""Engines that need neither model files nor a framework."""


Upload = Callable[[Sequence[NDArray[np.uint8]]], Sequence[NDArray[np.uint8]]]
"""Images [height, width, 3] of one size -> a batch for `predict`, padded, which is on its way to the device."""


@dataclass(frozen=True)
class InputSpec:
    """What an engine takes as input.

    size:   of every image; None if images may have any size
    batch:  the only number of images that the model takes at a time; None if it takes any number
    pixels: how pixels become the model's input, in words: "0..255", "(pixel - 128) / 128, bgr"
    preprocess: all values, so that another engine can be given the same
    """

    size: ImageSize | None
    batch: int | None = None
    pixels: str = "0..255"
    preprocess: Preprocess = field(default_factory=Preprocess)


class Engine(Protocol):
    """A loaded model of one framework. `predict` is for one caller at a time, from any thread.

    name: the engine's name, as `--engine` takes it; platform: the Open Inference Protocol's word for the model's format
    device: "cpu", or "gpu:N"
    fixed_batches: sizes that batches should be padded to, because each new size costs the engine much when it is
        first seen; None if any size is as good
    labels: the names of the classes, if the model contains them; else None
    streams: how many threads may call `stream` at the same time, each on a core of its own: together they predict more
        than `predict` does on all cores, where threads wait for each other; 1 if the engine has no streams
    """

    name: str
    platform: str
    input: InputSpec
    classes: int
    device: str
    fixed_batches: tuple[int, ...] | None
    labels: tuple[str, ...] | None
    streams: int

    @property
    def upload(self) -> Upload | None:
        """Brings the next batch to the device, from another thread than the one that predicts; None if it need not."""
        ...

    def predict(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Probabilities [n, classes] of n images, each [height, width, 3] of the size that `input` says.

        `images` may be one array [n, height, width, 3] already.
        """
        ...

    def stream(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """As `predict`, computed by the calling thread only."""
        ...

    def close(self) -> None:
        """Release the memory."""
        ...


class SingleStream:
    """The parts that an engine without streams, labels and a device of its own need not define."""

    streams = 1
    labels: tuple[str, ...] | None = None
    upload: Upload | None = None

    def stream(self: Engine, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """As `predict`."""
        return self.predict(images)
