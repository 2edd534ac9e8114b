"""A Keras file -> a `Program`, or a function from its inputs to its outputs by name."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from worker.engines.model_io.input_plan import UNIT
from worker.engines.model_io.layer_names import choose_layer, distinct, zeros_for
from worker.engines.tensorflow.program import Program, Tensor
from worker.errors import ModelError


def from_keras(path: Path, *, safe: bool, input_layer: str | None = None, output_layer: str | None = None) -> Program:
    """Load a .keras or .h5 file without what only training needs; ModelError if that cannot be done.

    `safe` has Keras refuse code in the file, which `worker.artifacts.safety` has looked for before. `input_layer` and
    `output_layer` choose among several inputs and outputs, by the names of their layers.
    """
    model = _loaded(path, safe=safe)
    inputs, outputs = list(model.inputs), list(model.outputs)
    feed = choose_layer({tensor.name: tensor for tensor in inputs}, input_layer, "--input-layer")
    names = getattr(model, "output_names", None) or [tensor.name for tensor in outputs]
    fetch = choose_layer(dict(zip(names, outputs, strict=True)), output_layer, "--output-layer")
    call = _call_of(model) if len(inputs) == len(outputs) == 1 else _call_among(inputs, feed, fetch)
    spec = tf.TensorSpec(feed.shape, feed.dtype, name="images")
    return Program(call, spec, "keras", UNIT)


def tensor_function(path: Path, *, safe: bool) -> Any:
    """A concrete function from a dict of the model's inputs to a dict of its outputs.

    Inputs have the names of their layers; outputs have the model's own names where it gives a dict, else those of the
    layers that compute them. `safe` as of `from_keras`. Raises ModelError for a file that cannot be loaded, and for a
    model that keeps a state.
    """
    model = _loaded(path, safe=safe)
    inputs = list(model.inputs)
    network = keras.Model(inputs, _outputs(model))

    def call(values: dict[str, Tensor]) -> dict[str, Tensor]:
        found: dict[str, Tensor] = network([values[tensor.name] for tensor in inputs], training=False)
        return found

    specs = {tensor.name: tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in inputs}
    function = tf.function(call, autograph=False).get_concrete_function(specs)
    if any(operation.type.startswith("Assign") for operation in function.graph.get_operations()):
        raise ModelError(
            f"The Keras model in {path} keeps a state between calls, which would pass from one caller to another: "
            "save it without stateful layers."
        )
    return function


def _outputs(model: Any) -> dict[str, Any]:
    """The model's outputs by name."""
    given = None if isinstance(model, keras.Sequential) else model.output
    if isinstance(given, dict) and all(map(keras.utils.is_keras_tensor, given.values())):
        return dict(given)
    outputs = list(model.outputs)
    return dict(zip(distinct([tensor._keras_history.operation.name for tensor in outputs]), outputs, strict=True))


def _loaded(path: Path, *, safe: bool) -> Any:
    """The model of a file, whose inputs and outputs are known; or ModelError."""
    if path.suffix == ".keras" and not zipfile.is_zipfile(path):
        raise ModelError(
            f"The Keras model in {path} cannot be loaded: it is damaged or no .keras file (a zip archive)."
        )
    try:
        # Old .h5 files contain optimizer state that this Keras refuses.
        model = keras.models.load_model(
            path, compile=False, safe_mode=safe, custom_objects={"DepthwiseConv2D": _Keras2DepthwiseConv2D}
        )
    except Exception as error:  # rebuilding a layer may raise anything
        raise ModelError(f"The Keras model in {path} cannot be loaded: {error}") from error
    if not (model.inputs and model.outputs):
        raise ModelError(
            f"The Keras model in {path} does not say what its inputs are: call it once before you save it."
        )
    return model


def _call_of(model: Any) -> Callable[[Tensor], Tensor]:
    return lambda value: model(value, training=False)


def _call_among(inputs: list[Any], feed: Any, fetch: Any) -> Callable[[Tensor], Tensor]:
    """From the input `feed` of a Keras model to its output `fetch`; each other input gets zeros for as many images."""
    network = keras.Model(inputs, fetch)
    zeros = {
        tensor.name: tf.constant(zeros_for(tensor.name, list(tensor.shape), tensor.dtype))
        for tensor in inputs
        if tensor is not feed
    }

    def call(value: Tensor) -> Tensor:
        images = tf.shape(value)[0]
        values = [value if tensor is feed else tf.repeat(zeros[tensor.name], images, axis=0) for tensor in inputs]
        return network(values, training=False)

    return call


class _Keras2DepthwiseConv2D(keras.layers.DepthwiseConv2D):  # type: ignore[misc]  # keras publishes no types
    """The layer as Keras 2 wrote it, with `groups: 1`, which Keras 3 refuses."""

    def __init__(self, *args: Any, groups: int = 1, **kwargs: Any) -> None:
        if groups != 1:
            raise ValueError(f"DepthwiseConv2D has {groups} groups; it can only have 1.")
        super().__init__(*args, **kwargs)
