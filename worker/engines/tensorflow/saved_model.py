"""A SavedModel's folder or a Keras file -> a `Program`."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from worker.engines.model_io.input_plan import UNIT
from worker.engines.model_io.layer_names import choose_layer, zeros_for
from worker.engines.tensorflow.program import Program, Tensor
from worker.errors import ModelError


def from_saved_model(
    path: Path, *, input_layer: str | None, output_layer: str | None, signature: str | None = None
) -> Program:
    """Load a SavedModel; images go to its signature of that name, or else to `serving_default`, or to its only one.

    `input_layer` and `output_layer` choose among several inputs and outputs of the signature.
    Raises ModelError, with the names that exist.
    """
    model = _loaded(path)
    chosen, function = _signature(model.signatures, signature, path)
    if _parses_examples(function):
        others = sorted(set(model.signatures) - {chosen})
        raise ModelError(
            f"The signature {chosen} of the SavedModel in {path} takes tf.Example messages, not images: "
            + (f"name another one with --signature ({', '.join(others)}), or " if others else "")
            + "export it anew with a signature that takes images [n, height, width, 3] or encoded images."
        )
    inputs = function.structured_input_signature[1]
    outputs = {name: spec for name, spec in function.structured_outputs.items() if spec.dtype.is_floating}
    feed = choose_layer({name: name for name in inputs}, input_layer, "--input-layer")
    fetch = choose_layer({name: name for name in outputs}, output_layer, "--output-layer")

    zeros = {
        name: tf.constant(zeros_for(name, list(spec.shape), spec.dtype.as_numpy_dtype))
        for name, spec in inputs.items()
        if name != feed
    }

    def call(value: Tensor, keep: Any = model) -> Tensor:  # the signature exists only as long as its model
        return function(**zeros, **{feed: value})[fetch]

    spec = inputs[feed]
    return Program(call, tf.TensorSpec(spec.shape, spec.dtype, name="images"), "tensorflow_savedmodel", UNIT)


def load_signature(path: Path, signature: str | None) -> tuple[Any, Any]:
    """A SavedModel, and its function `signature`, else `serving_default`, else the only one; or ModelError."""
    model = _loaded(path)
    return model, _signature(model.signatures, signature, path)[1]


def from_keras(path: Path, *, safe: bool, input_layer: str | None = None, output_layer: str | None = None) -> Program:
    """Load a .keras or .h5 file without what only training needs; ModelError if that cannot be done.

    `safe` has Keras refuse code in the file, which `worker.artifacts.safety` has looked for before. `input_layer` and
    `output_layer` choose among several inputs and outputs, by the names of their layers.
    """
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
    inputs, outputs = model.inputs or [], model.outputs or []
    if not inputs or not outputs:
        raise ModelError(
            f"The Keras model in {path} does not say what its inputs are: call it once before you save it."
        )
    feed = choose_layer({tensor.name: tensor for tensor in inputs}, input_layer, "--input-layer")
    names = getattr(model, "output_names", None) or [tensor.name for tensor in outputs]
    fetch = choose_layer(dict(zip(names, outputs, strict=True)), output_layer, "--output-layer")
    call = _call_of(model) if len(inputs) == len(outputs) == 1 else _call_among(inputs, feed, fetch)
    spec = tf.TensorSpec(feed.shape, feed.dtype, name="images")
    return Program(call, spec, "keras", UNIT)


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


def _loaded(path: Path) -> Any:
    try:
        return tf.saved_model.load(str(path))
    except (OSError, ValueError, RuntimeError, tf.errors.OpError) as error:
        raise ModelError(f"The SavedModel in {path} cannot be loaded: {error}") from error


def _parses_examples(signature: Any) -> bool:
    definition = signature.graph.as_graph_def()
    nodes = chain(definition.node, *(function.node_def for function in definition.library.function))
    return any(node.op.startswith("ParseExample") for node in nodes)


def _signature(signatures: Mapping[str, Any], wanted: str | None, path: Path) -> tuple[str, Any]:
    """The name of the signature to use, and its function."""
    only = next(iter(signatures)) if len(signatures) == 1 else None
    name = wanted or ("serving_default" if "serving_default" in signatures else only)
    if name is None or name not in signatures:
        names = ", ".join(sorted(signatures)) or "none"
        cure = "name one with --signature" if signatures else "export it anew"
        raise ModelError(
            f"The SavedModel in {path} has no signature {name or 'serving_default'} (it has {names}): {cure}."
        )
    return name, signatures[name]
