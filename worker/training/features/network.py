"""A network without its last layer, as a frozen graph that gives the features of several layers at once.

The graph takes uint8 images [n, edge, edge, 3] and gives float32 [n, width]: the features of all layers, side by side.
It is kept in the user's cache; a child process with TensorFlow makes it, and every engine that reads frozen graphs
computes features with it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from worker.default_model import export
from worker.errors import ModelError
from worker.images.decode import Filter, ImageSize, Resize
from worker.system.build_once import build_once
from worker.system.child_call import call_in_child_blocking

DEFAULT = "efficientnet_lite0"
"""The architecture of the default model."""


class Layer(NamedTuple):
    """Features of one layer: its name here, its tensor in the graph, and its columns in the graph's output."""

    name: str
    tensor: str
    start: int
    stop: int

    @property
    def width(self) -> int:
        """How many features the layer has."""
        return self.stop - self.start


@dataclass(frozen=True)
class Network:
    """A frozen graph in a folder.

    id:     changes with whatever changes the features
    output: the tensor with all features
    sets:   the sets of layers that heads may be learned on, by name; the first one is the last layer alone
    """

    folder: Path
    id: str
    edge: int
    resize: Resize
    filter: Filter
    output: str
    layers: tuple[Layer, ...]
    sets: dict[str, tuple[str, ...]]

    @property
    def graph(self) -> Path:
        """The frozen graph."""
        return self.folder / "graph.pb"

    @property
    def width(self) -> int:
        """How many features all layers have together."""
        return self.layers[-1].stop

    @property
    def size(self) -> ImageSize:
        """What photos are brought to."""
        return ImageSize(self.edge, self.edge, self.resize, self.filter)

    def chosen(self, names: Iterable[str]) -> list[Layer]:
        """The layers with these names, in the graph's order."""
        wanted = set(names)
        return [layer for layer in self.layers if layer.name in wanted]


def network(cache: Path, architecture: str = DEFAULT) -> Network:
    """The network `architecture` with its trained weights, made in the folder `cache` if it is not there.

    The first call takes some seconds. Raises ModelError, or RetrainError for an architecture that is not known or
    whose weights are not on this machine.
    """
    folder = cache / f"features-{architecture}-{_digest()}"
    try:
        build_once(folder, lambda making: call_in_child_blocking(partial(make, making, architecture)))
    except OSError as error:
        raise ModelError(f"The network cannot be kept in {cache} ({error}): make room there.") from error
    return read_network(folder)


def make(folder: Path, architecture: str) -> None:
    """Write graph.pb and network.json into a folder; loads TensorFlow."""
    if architecture == DEFAULT:
        from worker.training.features.default_network import default_network

        made = default_network()
    else:
        from worker.training.features.applications import application

        made = application(architecture)
    from worker.training.features.keras_network import write

    write(folder, made)


def read_network(folder: Path) -> Network:
    """The network in a folder that `make` has filled. Raises ModelError if the folder is damaged."""
    try:
        values = json.loads((folder / "network.json").read_bytes())
        layers = tuple(Layer(*layer) for layer in values.pop("layers"))
        sets = {name: tuple(names) for name, names in values.pop("sets").items()}
        return Network(folder=folder, id=folder.name, layers=layers, sets=sets, **values)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{folder} is damaged ({error}): remove it, and run this again.") from error


def _digest() -> str:
    """A digest of the default model's weights, and of the code that makes graphs of networks."""
    code = [Path(__file__).with_name(name) for name in ("keras_network.py", "default_network.py", "applications.py")]
    return hashlib.sha256(export.digest().encode() + b"".join(file.read_bytes() for file in code)).hexdigest()[:12]
