"""A SavedModel's folder or a Keras file -> a `Program`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from worker.engines.input_plan import UNIT
from worker.engines.tensorflow.program import Program, Tensor
from worker.errors import ModelError


def from_saved_model(path: Path, *, input_layer: str | None, output_layer: str | None) -> Program:
    """Load a SavedModel; images go to its signature `serving_default`, or to its only one.

    `input_layer` and `output_layer` choose among several inputs and outputs of the signature.
    Raises ModelError, with the names that exist.
    """
    try:
        model = tf.saved_model.load(str(path))
    except (OSError, ValueError, RuntimeError, tf.errors.OpError) as error:
        raise ModelError(f"The SavedModel in {path} cannot be loaded: {error}") from error
    signature = _signature(model.signatures, path)
    inputs = signature.structured_input_signature[1]
    outputs = {name: spec for name, spec in signature.structured_outputs.items() if spec.dtype.is_floating}
    feed = _one(inputs, input_layer, "--input-layer", path)
    fetch = _one(outputs, output_layer, "--output-layer", path)

    def call(value: Tensor, keep: Any = model) -> Tensor:  # the signature lives only as long as its model
        return signature(**{feed: value})[fetch]

    spec = inputs[feed]
    return Program(call, tf.TensorSpec(spec.shape, spec.dtype, name="images"), "tensorflow_savedmodel", UNIT)


def from_keras(path: Path) -> Program:
    """Load a .keras or .h5 file without what only training needs; ModelError if that cannot be done."""
    try:
        # Old .h5 files carry optimizer state that this Keras refuses; safe_mode lets no code of the file run.
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever rebuilding a layer raises
        raise ModelError(f"The Keras model in {path} cannot be loaded: {error}") from error
    inputs, outputs = model.inputs or [], model.outputs or []
    if len(inputs) != 1 or len(outputs) != 1:
        raise ModelError(f"{path} has {len(inputs)} inputs and {len(outputs)} outputs: a classifier has one of each.")
    spec = tf.TensorSpec(inputs[0].shape, inputs[0].dtype, name="images")
    return Program(lambda value: model(value, training=False), spec, "keras", UNIT)


def _signature(signatures: Mapping[str, Any], path: Path) -> Any:
    if "serving_default" in signatures:
        return signatures["serving_default"]
    if len(signatures) != 1:
        names = ", ".join(sorted(signatures)) or "none"
        raise ModelError(f"The SavedModel in {path} has no signature serving_default (it has {names}): export it anew.")
    return next(iter(signatures.values()))


def _one(named: Mapping[str, Any], name: str | None, flag: str, path: Path) -> str:
    """The name that was asked for, with or without `:0`, else the only one there is."""
    wanted = name.removesuffix(":0") if name else None
    if wanted in named:
        return str(wanted)
    if wanted is None and len(named) == 1:
        return next(iter(named))
    raise ModelError(f"{flag} must name one of these of the SavedModel in {path}: {', '.join(sorted(named))}.")
