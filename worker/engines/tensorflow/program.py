"""A TensorFlow model from any file format -> one frozen function from its own input to its scores.

The readers of the file formats return a `Program`; `freeze` turns its variables into constants, which about doubles the
speed of a small network.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from worker.engines.adapter import first_line
from worker.engines.model_io.input_plan import Scaling
from worker.errors import ModelError

_log = logging.getLogger(__name__)

Tensor = Any
"""A tf.Tensor; TensorFlow publishes no types."""


@dataclass(frozen=True)
class Program:
    """A model as TensorFlow can call it, in its own terms.

    call:     from the model's input, as `spec` describes it, to its scores
    spec:     a tf.TensorSpec: images [n, height, width, channels] or one image without n, or encoded images
    platform: the Open Inference Protocol's word for the format
    usual_scaling: mean and std that most models of this format are trained with, if the model shows none
    """

    call: Callable[[Tensor], Tensor]
    spec: Any
    platform: str
    usual_scaling: Scaling

    @property
    def takes_bytes(self) -> bool:
        """Whether the model decodes images itself."""
        return bool(self.spec.dtype == tf.string)


@dataclass(frozen=True)
class Frozen:
    """A program with constants instead of variables: the same function, and its graph."""

    call: Callable[[Tensor], Tensor]
    graph: Any


def freeze(program: Program) -> Frozen | None:
    """Turn the program's variables into constants; None, with a log line, if TensorFlow cannot."""
    function = tf.function(program.call, input_signature=[program.spec], autograph=False).get_concrete_function()
    try:
        frozen = frozen_function(function)
    except ModelError as error:
        _log.info("The model's variables stay variables, so it runs more slowly: %s", error)
        return None
    return Frozen(lambda value: frozen(value)[0], frozen.graph)


def frozen_function(function: Any) -> Any:
    """A concrete function with constants for its variables. Raises ModelError if TensorFlow cannot make them."""
    try:
        return convert_variables_to_constants_v2(function)
    except (tf.errors.OpError, ValueError, RuntimeError, KeyError) as error:
        raise ModelError(f"TensorFlow cannot make constants of its variables: {first_line(error)}") from error
