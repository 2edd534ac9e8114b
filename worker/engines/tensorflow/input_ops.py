"""An `InputPlan` as operations of TensorFlow: uint8 images [n, height, width, 3] -> the model's input.

A model that decodes images itself gets encoded images.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from worker.artifacts.preprocess_config import Preprocess
from worker.engines.model_io.input_plan import InputPlan, Layout, layout_of
from worker.engines.tensorflow.program import Program, Tensor
from worker.errors import ModelError


def layout(program: Program, requested: Preprocess) -> Layout:
    """Interpret the shape of the model's input; ModelError for an input that is no image."""
    if not program.takes_bytes:
        return layout_of(program.spec.shape.as_list(), requested=requested.layout)
    if requested.mean or requested.std or requested.channels or requested.layout:
        raise ModelError("The model decodes images by itself: leave out --mean, --std, --channels and --layout.")
    return Layout(None, 1, single=True)


def prepare(program: Program, plan: InputPlan) -> Callable[[Tensor], Tensor]:
    """A TensorFlow function that executes `plan`."""
    if program.takes_bytes:
        # The model decodes inside: its input is the upright RGB image, encoded without loss.
        ones = [1] * (program.spec.shape.rank or 0)
        return lambda images: tf.reshape(tf.io.encode_png(images[0], compression=1), ones)

    def pixels(images: Tensor) -> Tensor:
        values = images if plan.untouched and not plan.layout.grey else tf.cast(images, tf.float32)
        if plan.layout.grey:
            values = tf.image.rgb_to_grayscale(values)
        elif plan.channels == "bgr":
            values = tf.reverse(values, [-1])
        if not plan.untouched:
            values = (values - plan.mean) / plan.std
        values = tf.cast(values, program.spec.dtype)
        values = tf.transpose(values, [0, 3, 1, 2]) if plan.layout.order == "nchw" else values
        values = values[..., 0] if plan.layout.flat else values
        return values[0] if plan.layout.single else values

    return pixels
