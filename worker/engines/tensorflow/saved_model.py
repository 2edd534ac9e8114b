"""A SavedModel's folder -> a `Program`, or the function of one of its signatures."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

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
