"""Small models for tests: an engine that needs no framework, and graphs as the article's retrain.py makes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.engines.base import InputSpec, SingleStream
from worker.images.decode import ImageSize
from worker.inference.model import Model


class Brightness(SingleStream):
    """An engine of two classes, dark and bright: the probability of bright is the mean pixel's share of 255."""

    name = "brightness"
    platform = "numpy"
    classes = 2
    device = "cpu"
    fixed_batches: tuple[int, ...] | None = None

    def __init__(self) -> None:
        self.input = InputSpec(ImageSize(8, 8))
        self.closed = False

    def predict(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Probabilities [n, 2]."""
        bright = np.array([image.mean() / 255 for image in images], np.float32)
        return np.stack([1 - bright, bright], axis=1)

    def close(self) -> None:
        """Remember it."""
        self.closed = True


def brightness(labels: tuple[str, ...] = ("dark", "bright")) -> Model:
    """A model on the engine above."""
    return Model("test", "1", labels, Brightness(), 1_000_000)


def write_graph(path: Path, *, scale: str = "decode", batch: bool = True, logits: bool = False, norm: str = "") -> Path:
    """Write a frozen graph of 4 classes shaped like retrain.py's, with random weights; gives `path` back.

    scale: "decode" starts at DecodeJpeg/contents and has retrain.py's own resizing to 299 and (x - 128) / 128;
        "placeholder" starts at input [1, 224, 224, 3] and "own" at Placeholder with x * 2 - 1 behind it.
    batch: whether it answers for several images at once; else only the first counts
    logits: whether final_result comes without its softmax
    norm: "scaled" or "unscaled" for a normalization of TensorFlow's first year, and a graph of that age
    """
    import tensorflow.compat.v1 as tf

    graph = tf.Graph()
    with graph.as_default():
        pixels = _start(tf, scale)
        random = np.random.default_rng(7)
        filters = tf.constant(random.normal(0, 0.4, (5, 5, 3, 12)), tf.float32)
        convolved = tf.nn.conv2d(pixels, filters, strides=8, padding="SAME", name="conv")
        for name, low in (("mean", -1), ("variance", 1), ("beta", -1), ("gamma", -1)):
            tf.constant(random.uniform(low, low + 2, 12), tf.float32, name=name)
        seen = tf.nn.relu(tf.identity(convolved, name="norm"))
        pooled = tf.reduce_mean(seen, axis=(1, 2), name="pool_3")
        bottleneck = pooled if batch else tf.reshape(pooled[:1], [1, 12], name="bottleneck")
        kernel = tf.constant(random.normal(0, 1, (12, 4)), tf.float32)
        scores = tf.matmul(bottleneck, kernel, name="final_training_ops")
        (tf.identity if logits else tf.nn.softmax)(scores, name="final_result")
    definition = graph.as_graph_def()
    if norm:
        _age(definition, scaled=norm == "scaled")
    path.write_bytes(definition.SerializeToString())
    return path


def run_graph(path: Path, feeds: dict[str, Any]) -> NDArray[np.float32]:
    """What the graph itself says, run as label_image.py runs it: final_result for these values of its tensors."""
    import tensorflow.compat.v1 as tf

    graph, definition = tf.Graph(), tf.GraphDef()
    definition.ParseFromString(path.read_bytes())
    with graph.as_default():
        tf.import_graph_def(definition, name="")
    with tf.Session(graph=graph) as session:
        return np.asarray(session.run("final_result:0", feeds))


def _age(definition: Any, *, scaled: bool) -> None:
    """Make `norm` what Inception's graph of 2015 has there, which today's functions cannot even be asked for."""
    definition.versions.producer = 8
    (norm,) = (node for node in definition.node if node.name == "norm")
    norm.op = "BatchNormWithGlobalNormalization"
    norm.input[:] = ["conv", "mean", "variance", "beta", "gamma"]
    norm.attr["variance_epsilon"].f = 0.001
    norm.attr["scale_after_normalization"].b = scaled


def _start(tf: Any, scale: str) -> Any:
    if scale == "placeholder":
        return tf.placeholder(tf.float32, [1, 224, 224, 3], name="input")
    if scale == "own":
        return tf.placeholder(tf.float32, [None, 224, 224, 3], name="Placeholder") * 2.0 - 1.0
    contents = tf.placeholder(tf.string, name="DecodeJpeg/contents")
    image = tf.cast(tf.image.decode_jpeg(contents, channels=3, name="DecodeJpeg"), tf.float32, name="Cast")
    resized = tf.image.resize_bilinear(tf.expand_dims(image, 0, name="ExpandDims"), [299, 299], name="ResizeBilinear")
    return tf.multiply(tf.subtract(resized, 128.0, name="Sub"), 1 / 128, name="Mul")
