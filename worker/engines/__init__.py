"""A model's files -> an engine: uint8 images in, probabilities out, whatever the framework.

`load_engine` picks the engine, lets its module load the model, and makes sure that what comes out are
probabilities. A framework is imported by its own module alone, and only when that engine is asked for.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from worker.engines.probabilities import Softmaxed, are_probabilities
from worker.errors import ModelError
from worker.images import ImageSize
from worker.memory import settle
from worker.source import ModelSource

_log = logging.getLogger(__name__)

FILELESS = frozenset({"echo"})
"""Engines that need no model's files, nor a framework."""

_SIZE_OF_ANY = (224, 224)  # of warm-up images for a model that takes any size


@dataclass(frozen=True)
class InputSpec:
    """What an engine eats.

    size:   of every image; None if images may have any size
    batch:  the one number of images that the model takes at a time; None if any
    pixels: how they become the model's input, in words: "0..255", "(pixel - 128) / 128, bgr"
    """

    size: ImageSize | None
    batch: int | None = None
    pixels: str = "0..255"


class Engine(Protocol):
    """A loaded model of one framework. For one caller at a time, from any thread.

    name is that of `--engine`; platform is the Open Inference Protocol's word for the model's format.
    device is "cpu", or what predicts beside the cores; fixed_batches are the only batch sizes that it should be
    given, where each other one costs it much (a compilation, an allocation): batches are padded to them.
    """

    name: str
    platform: str
    device: str
    fixed_batches: tuple[int, ...] | None
    input: InputSpec
    classes: int

    def predict(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Probabilities [n, classes] of n images, each [height, width, 3] of the size that `input` says.

        `images` may be one array [n, height, width, 3] already.
        """
        ...

    def close(self) -> None:
        """Give the memory back."""
        ...


def load_engine(source: ModelSource) -> Engine:
    """Load the model of `source`, whose `path` or `graph` must be set; ModelError says why it cannot."""
    engine = _LOADERS[choose(source)](source)
    if are_probabilities(engine.predict(warmup_images(engine.input, 4))):
        return engine
    _log.info("The model's outputs are not probabilities (negative, or not adding up to 1): softmax is applied.")
    return Softmaxed(engine)


def choose(source: ModelSource) -> str:
    """The engine's name that `source.engine` means; ModelError for one that is unknown or not installed."""
    name = "tensorflow" if source.engine == "auto" else source.engine
    if name not in _LOADERS:
        raise ModelError(f"There is no engine {name!r}: --engine takes auto or {', '.join(sorted(_LOADERS))}.")
    if name not in FILELESS and importlib.util.find_spec(name) is None:
        raise ModelError(f"The engine {name} is not installed: pip install 'p2p-serving[worker]'.")
    return name


def warmup_images(spec: InputSpec, count: int) -> list[NDArray[np.uint8]]:
    """Random images as an engine with this input eats them; the same at every call."""
    height, width = (spec.size.height, spec.size.width) if spec.size else _SIZE_OF_ANY
    noise = np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    return list(noise)


def _echo(source: ModelSource) -> Engine:
    from worker.engines.echo import load

    return load(source)


def _tensorflow(source: ModelSource) -> Engine:
    from worker.engines.tensorflow import load

    settle()
    return load(source)


_LOADERS: Mapping[str, Callable[[ModelSource], Engine]] = MappingProxyType({"tensorflow": _tensorflow, "echo": _echo})
