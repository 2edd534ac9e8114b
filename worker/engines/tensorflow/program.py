"""A TensorFlow model, from whichever file -> one frozen function from its own input to its scores.

`Program` is what the readers of the file formats hand over; `freeze` turns its variables into constants,
which about doubles the speed of a small network.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from worker.engines.input_plan import Scaling

_log = logging.getLogger(__name__)

ANY_EDGE = 224
"""Height and width of sample images for a model that takes any."""

Tensor = Any
"""A tf.Tensor; TensorFlow publishes no types."""


@dataclass(frozen=True)
class Program:
    """A model as TensorFlow can call it, in its own terms.

    call:     from the model's input, as `spec` describes it, to its scores
    spec:     a tf.TensorSpec: images [n, height, width, channels] or one image without n, or encoded images
    platform: the Open Inference Protocol's word for the format
    unscaled: mean and std of the pixels that such models are usually trained on, if nothing says otherwise
    """

    call: Callable[[Tensor], Tensor]
    spec: Any
    platform: str
    unscaled: Scaling

    @property
    def takes_bytes(self) -> bool:
        """Whether the model decodes images itself."""
        return bool(self.spec.dtype == tf.string)


@dataclass(frozen=True)
class Frozen:
    """A program with constants for variables: the same function, and its graph for a look inside."""

    call: Callable[[Tensor], Tensor]
    graph: Any


def freeze(program: Program) -> Frozen | None:
    """Turn the program's variables into constants; None, with a line in the log, if TensorFlow cannot."""
    whole = tf.function(program.call, input_signature=[program.spec], autograph=False).get_concrete_function()
    try:
        frozen = convert_variables_to_constants_v2(whole)
    except (tf.errors.OpError, ValueError, RuntimeError, KeyError) as error:
        _log.info("The model's variables stay variables (%s): it runs, more slowly.", str(error).splitlines()[:1])
        return None
    return Frozen(lambda value: frozen(value)[0], frozen.graph)
