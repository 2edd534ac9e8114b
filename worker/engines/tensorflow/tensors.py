"""TensorFlow: a SavedModel's signature or a Keras file with any inputs and outputs -> an engine that takes tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from worker.artifacts.source import ModelSource
from worker.engines.tensor_adapter import TensorAdapter
from worker.engines.tensorflow.engine import prepare_devices
from worker.engines.tensorflow.keras_file import tensor_function
from worker.engines.tensorflow.saved_model import load_signature
from worker.engines.tensors import Signature, TensorSpec, datatype_of
from worker.errors import ModelError


@dataclass(frozen=True)
class _Function:
    """A model's function of tensors by name, and the tf.TensorSpecs of what it takes and gives."""

    call: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    platform: str


def load(source: ModelSource) -> TensorAdapter:
    """Load the SavedModel or Keras file of `source`; raises ModelError with the cause and the cure."""
    assert source.path is not None
    device = prepare_devices(source)
    function = _of_saved_model(source.path, source.signature) if source.path.is_dir() else _of_keras(source)
    inputs, outputs = function.inputs, function.outputs
    signature = Signature(
        tuple(_spec(name, inputs[name]) for name in sorted(inputs)),
        tuple(_spec(name, outputs[name]) for name in sorted(outputs)),
    )

    def forward(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        found = function.call({name: tf.constant(array, inputs[name].dtype) for name, array in arrays.items()})
        return {name: found[name].numpy() for name in sorted(found)}

    fixed = {spec.shape[0] for spec in inputs.values() if spec.shape.rank and spec.shape[0] is not None}
    return TensorAdapter(
        forward, signature, batches=fixed, name="tensorflow", platform=function.platform, device=device
    )


def _of_saved_model(path: Path, signature: str | None) -> _Function:
    model, function = load_signature(path, signature)

    def call(values: Mapping[str, Any], keep: Any = model) -> Mapping[str, Any]:
        # A signature exists only as long as its model.
        found: Mapping[str, Any] = function(**values)
        return found

    return _Function(call, function.structured_input_signature[1], function.structured_outputs, "tensorflow_savedmodel")


def _of_keras(source: ModelSource) -> _Function:
    assert source.path is not None
    function = tensor_function(source.path, safe=not source.allow_unsafe)
    return _Function(function, function.structured_input_signature[0][0], function.structured_outputs, "keras")


def _spec(name: str, spec: Any) -> TensorSpec:
    datatype = "BYTES" if spec.dtype == tf.string else datatype_of(np.dtype(spec.dtype.as_numpy_dtype))
    if datatype is None:
        raise ModelError(
            f"{name} is a {spec.dtype.name}, which no tensor of a request is: export the model without it."
        )
    if spec.shape.rank == 0:
        raise ModelError(f"{name} is a single value: every input and output needs a first axis for the rows.")
    if spec.shape.rank is None:
        return TensorSpec(name, datatype)
    return TensorSpec(name, datatype, tuple(-1 if length is None else length for length in spec.shape[1:]))
