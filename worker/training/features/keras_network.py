"""A Keras network and some of its layers -> a frozen graph with their features side by side; loads TensorFlow."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.engines.tensorflow.quiet_import import quiet_tensorflow
from worker.images.decode import Filter, Resize

with quiet_tensorflow():
    import keras
    import tensorflow as tf

from worker.engines.tensorflow.program import frozen_function

LAST = "last"
"""The name of the last layer's features."""


@dataclass(frozen=True)
class KerasNetwork:
    """A network in Keras whose layers' features are wanted.

    images: the symbolic input, uint8 [n, edge, edge, 3]
    layers: symbolic features [n, width] by name, the last layer's first
    sets:   sets of layers by name, the last layer alone first
    """

    images: Any
    edge: int
    layers: Mapping[str, Any]
    sets: Mapping[str, Sequence[str]]
    resize: Resize = "crop"
    filter: Filter = "bicubic"


def write(folder: Path, made: KerasNetwork) -> None:
    """Write graph.pb and network.json of a network that is in memory."""
    features = list(made.layers.values())
    joined = keras.layers.Concatenate()(features) if len(features) > 1 else features[0]
    whole = keras.Model(made.images, joined)
    spec = tf.TensorSpec([None, made.edge, made.edge, 3], tf.uint8, name="images")
    function = tf.function(lambda images: whole(images, training=False), input_signature=[spec], autograph=False)
    graph = frozen_function(function.get_concrete_function())
    (folder / "graph.pb").write_bytes(graph.graph.as_graph_def().SerializeToString())
    (output,) = graph.outputs
    described = {
        "edge": made.edge,
        "resize": made.resize,
        "filter": made.filter,
        "output": output.name,
        "layers": _columns(made.layers, _joined(output) if len(features) > 1 else [output.name]),
        "sets": {name: list(names) for name, names in made.sets.items()},
    }
    (folder / "network.json").write_text(json.dumps(described))


def _joined(output: Any) -> list[str]:
    """The names of the tensors that the concatenation at the end of a graph joins."""
    operation = output.op
    while operation.type == "Identity":
        operation = operation.inputs[0].op
    return [tensor.name for tensor in list(operation.inputs)[:-1]]  # the last one is the axis


def _columns(layers: Mapping[str, Any], tensors: Sequence[str]) -> list[tuple[str, str, int, int]]:
    columns, start = [], 0
    for (name, features), tensor in zip(layers.items(), tensors, strict=True):
        columns.append((name, tensor, start, start + features.shape[1]))
        start += features.shape[1]
    return columns
