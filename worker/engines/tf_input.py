"""uint8 images [n, height, width, 3] -> what one model's input wants: type, channels, scale, or encoded bytes.

`layout_of` reads the model's input, `plan` adds what flags say, both in plain values; `prepare` makes the
function of TensorFlow that does it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from worker.engines.tf_program import Program, Tensor
from worker.errors import ModelError
from worker.source import Channels, Preprocess


@dataclass(frozen=True)
class Layout:
    """The dimensions of a model's input, told apart.

    size:   height and width; None for any
    batch:  how many images a call; None for any
    single: one image without a first dimension: [height, width, channels]
    grey:   brightness only; flat: even without a last dimension, [n, height, width]
    """

    size: tuple[int, int] | None
    batch: int | None
    single: bool = False
    grey: bool = False
    flat: bool = False


@dataclass(frozen=True)
class Plan:
    """How images become one model's input: input = (pixel - mean) / std, of that size, in that layout."""

    layout: Layout
    size: tuple[int, int] | None
    channels: Channels
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def pixels(self) -> str:
        """The same in words, for the log and for /readyz."""
        order = "grey" if self.layout.grey else self.channels
        if (set(self.mean), set(self.std)) == ({0.0}, {1.0}):
            return f"0..255, {order}"
        return f"(pixel - {_words(self.mean)}) / {_words(self.std)}, {order}"


def layout_of(program: Program) -> Layout:
    """Read the model's input shape; raises ModelError for an input that is no image."""
    if program.takes_bytes:
        return Layout(None, 1, single=True)
    shape = program.spec.shape.as_list()
    if len(shape) == 3 and shape[2] not in (1, 3):
        return Layout(_known(shape[1:]), shape[0], grey=True, flat=True)
    if len(shape) not in (3, 4) or shape[-1] not in (1, 3, None):
        raise ModelError(f"The model's input has the shape {shape}; only [n, height, width, 3] (or 1) can be fed.")
    single = len(shape) == 3
    return Layout(_known(shape[-3:-1]), 1 if single else shape[0], single=single, grey=shape[-1] == 1)


def plan(program: Program, layout: Layout, preprocess: Preprocess, *, scaling: tuple[float, float]) -> Plan:
    """Decide; `scaling` is the mean and std to use where `preprocess` has none.

    Raises ModelError if `preprocess` contradicts the model.
    """
    if program.takes_bytes and (preprocess.mean or preprocess.std or preprocess.channels):
        raise ModelError("The model decodes images by itself: leave out --mean, --std and --channels.")
    mean, std = preprocess.mean or scaling[:1], preprocess.std or scaling[1:]
    if layout.grey and (len(mean) > 1 or len(std) > 1):
        raise ModelError("The model sees brightness only: --mean and --std take one number each.")
    if layout.size and preprocess.size and layout.size != preprocess.size:
        fixed, asked = (f"{height} x {width}" for height, width in (layout.size, preprocess.size))
        raise ModelError(f"The model takes images of {fixed} pixels, so --size cannot be {asked}.")
    return Plan(layout, layout.size or preprocess.size, preprocess.channels or "rgb", mean, std)


def prepare(program: Program, plan: Plan) -> Callable[[Tensor], Tensor]:
    """The function of TensorFlow that `plan` describes."""
    if program.takes_bytes:
        # The model decodes somewhere inside: hand it the upright RGB image, encoded without loss.
        ones = [1] * (program.spec.shape.rank or 0)
        return lambda images: tf.reshape(tf.io.encode_png(images[0], compression=1), ones)

    def pixels(images: Tensor) -> Tensor:
        values = tf.cast(images, tf.float32)
        if plan.layout.grey:
            values = tf.image.rgb_to_grayscale(values)
        elif plan.channels == "bgr":
            values = tf.reverse(values, [-1])
        values = tf.cast((values - plan.mean) / plan.std, program.spec.dtype)
        values = values[..., 0] if plan.layout.flat else values
        return values[0] if plan.layout.single else values

    return pixels


def _known(edges: list[Any]) -> tuple[int, int] | None:
    return (edges[0], edges[1]) if all(edges) else None


def _words(numbers: tuple[float, ...]) -> str:
    words = [f"{number:g}" for number in numbers]
    return words[0] if len(words) == 1 else f"[{', '.join(words)}]"
