"""EfficientNet-Lite0 in Keras: weights by name -> a network that takes uint8 images [n, 224, 224, 3].

The architecture is that of the paper (Tan and Le, 2019, arXiv:1905.11946, table 1) in its "lite" form for
edge devices: no squeeze-and-excitation, ReLU6 for swish, first and last stages not scaled. Weights come
under the names of the PyTorch checkpoint that `worker.default_model.export` reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from worker.engines.tensorflow.quiet_import import quiet_tensorflow

with quiet_tensorflow():
    import keras
    import tensorflow as tf

Weights = Mapping[str, NDArray[Any]]

EDGE = 224
FEATURES = 1280
_EPSILON = 1e-3  # of batch normalization, as in training

# Of each stage: kernel, stride, expansion, output channels, blocks.
_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)


def features(weights: Weights) -> keras.Model:
    """Build the network up to its penultimate layer: pixels of 0..255 in, float32 [n, 1280] out."""
    images = keras.Input((EDGE, EDGE, 3), dtype="uint8", name="images")
    x = keras.layers.Rescaling(1 / 127.5, -1.0)(images)
    x = _relu(_norm(_conv(x, weights, "_conv_stem", 32, kernel=3, stride=2), weights, "_bn0"))
    for number, (kernel, stride, expansion, channels) in enumerate(_blocks()):
        x = _block(x, weights, number, kernel, stride, expansion, channels)
    x = _relu(_norm(_conv(x, weights, "_conv_head", FEATURES), weights, "_bn1"))
    return keras.Model(images, keras.layers.GlobalAveragePooling2D()(x))


class BlockOutputs(NamedTuple):
    """Symbolic outputs of one block: after its filter of each channel, and at its end."""

    depthwise: Any
    end: Any


def activations(body: keras.Model) -> list[BlockOutputs]:
    """The outputs of the blocks of `features`, in order."""
    blocks = []
    for number, _ in enumerate(_blocks()):
        depthwise = body.get_layer(f"block{number}_depthwise").output
        blocks.append(BlockOutputs(depthwise, body.get_layer(f"block{number}_end").output))
    return blocks


def with_head(body: keras.Model, kernel: NDArray[Any], bias: NDArray[Any]) -> keras.Model:
    """Put a softmax layer on the features: kernel [1280, classes], bias [classes]; probabilities out."""
    head = keras.layers.Dense(bias.size, activation="softmax", name="probabilities")
    model = keras.Model(body.inputs, head(body.outputs[0]))
    head.set_weights([kernel, bias])
    return model


def export(model: keras.Model, folder: Path) -> None:
    """Write a SavedModel: `serving_default` takes `images` and gives `probabilities`; no traces of training."""
    spec = tf.TensorSpec([None, EDGE, EDGE, 3], tf.uint8, name="images")
    serve = tf.function(lambda images: {"probabilities": model(images, training=False)}, input_signature=[spec])
    whole = tf.Module()
    whole.variables_of_layers = [variable.value for variable in model.variables]
    tf.saved_model.save(whole, str(folder), signatures={"serving_default": serve})


def _blocks() -> Iterable[tuple[int, int, int, int]]:
    """Kernel, stride, expansion and channels of every block: only a stage's first one strides."""
    for kernel, stride, expansion, channels, count in _STAGES:
        for place in range(count):
            yield kernel, stride if place == 0 else 1, expansion, channels


def _block(x: Any, weights: Weights, number: int, kernel: int, stride: int, expansion: int, channels: int) -> Any:
    """An inverted bottleneck: widen, filter each channel separately, narrow; plus its input if the shapes are equal."""
    start, width, name = x, x.shape[-1], f"_blocks.{number}."
    if expansion > 1:
        x = _relu(_norm(_conv(x, weights, f"{name}_expand_conv", width * expansion), weights, f"{name}_bn0"))
    filtered = _norm(_depthwise(x, weights, f"{name}_depthwise_conv", kernel, stride), weights, f"{name}_bn1")
    x = _relu(filtered, name=f"block{number}_depthwise")
    added, end = (stride, channels) == (1, width), f"block{number}_end"
    x = _norm(_conv(x, weights, f"{name}_project_conv", channels), weights, f"{name}_bn2", name=None if added else end)
    return keras.layers.Add(name=end)([x, start]) if added else x


def _conv(x: Any, weights: Weights, name: str, channels: int, *, kernel: int = 1, stride: int = 1) -> Any:
    layer = keras.layers.Conv2D(channels, kernel, strides=stride, padding="same", use_bias=False)
    return _filled(layer, x, [weights[f"{name}.weight"].transpose(2, 3, 1, 0)])


def _depthwise(x: Any, weights: Weights, name: str, kernel: int, stride: int) -> Any:
    layer = keras.layers.DepthwiseConv2D(kernel, strides=stride, padding="same", use_bias=False)
    return _filled(layer, x, [weights[f"{name}.weight"].transpose(2, 3, 0, 1)])


def _norm(x: Any, weights: Weights, source: str, *, name: str | None = None) -> Any:
    parts = ("weight", "bias", "running_mean", "running_var")
    layer = keras.layers.BatchNormalization(epsilon=_EPSILON, name=name)
    return _filled(layer, x, [weights[f"{source}.{part}"] for part in parts])


def _relu(x: Any, *, name: str | None = None) -> Any:
    return keras.layers.ReLU(6.0, name=name)(x)


def _filled(layer: Any, x: Any, values: list[NDArray[Any]]) -> Any:
    """Apply a layer and give it its weights, which exist only then."""
    y = layer(x)
    layer.set_weights([np.ascontiguousarray(value) for value in values])
    return y
