"""TensorFlow: a SavedModel's signature with any inputs and outputs -> an engine that takes tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from worker.artifacts.source import ModelSource
from worker.engines.tensor_adapter import TensorAdapter
from worker.engines.tensorflow.engine import prepare_devices
from worker.engines.tensorflow.saved_model import load_signature
from worker.engines.tensors import Signature, TensorSpec, datatype_of
from worker.errors import ModelError


def load(source: ModelSource) -> TensorAdapter:
    """Load the SavedModel of `source`; raises ModelError with the cause and the cure."""
    assert source.path is not None
    device = prepare_devices(source)
    model, function = load_signature(source.path, source.signature)
    inputs = function.structured_input_signature[1]
    outputs = function.structured_outputs
    signature = Signature(
        tuple(_spec(name, inputs[name]) for name in sorted(inputs)),
        tuple(_spec(name, outputs[name]) for name in sorted(outputs)),
    )

    def forward(arrays: Mapping[str, NDArray[Any]], keep: Any = model) -> dict[str, NDArray[Any]]:
        # A signature exists only as long as its model.
        found = function(**{name: tf.constant(array, inputs[name].dtype) for name, array in arrays.items()})
        return {name: found[name].numpy() for name in sorted(found)}

    fixed = {spec.shape[0] for spec in inputs.values() if spec.shape.rank and spec.shape[0] is not None}
    return TensorAdapter(
        forward, signature, batches=fixed, name="tensorflow", platform="tensorflow_savedmodel", device=device
    )


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
