"""A frozen network and a head -> a frozen graph as retrain.py writes it; loads TensorFlow.

It contains all that happens to an image: its `DecodeJpeg/contents` takes the bytes of one JPEG, its `input` floats
0..255 [n, edge, edge, 3].
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worker.engines.tensorflow.quiet_import import quiet_tensorflow
from worker.images.decode import CROP_SHARE
from worker.training.features.network import Network
from worker.training.heads.head import Head

with quiet_tensorflow():
    import tensorflow as tf


def write_frozen_graph(file: Path, network: Network, head: Head, *, final: str) -> None:
    """Write a frozen graph with retrain.py's names; its output is called `final`."""
    definition = _part(network, head)
    graph = tf.Graph()
    with graph.as_default():
        contents = tf.compat.v1.placeholder(tf.string, [], name="DecodeJpeg/contents")
        decoded = tf.image.decode_jpeg(contents, channels=3, name="DecodeJpeg")
        shape = [None, network.edge, network.edge, 3]
        entry = tf.compat.v1.placeholder_with_default(_fitted(decoded, network), shape, name="input")
        tf.nn.softmax(_logits(definition, dict.fromkeys(_floats(definition), entry), head), name=final)
    kept = tf.compat.v1.graph_util.extract_sub_graph(graph.as_graph_def(), [final])
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(kept.SerializeToString())


def _part(network: Network, head: Head) -> Any:
    """The network's graph without layers that the head does not use."""
    definition = tf.compat.v1.GraphDef()
    definition.ParseFromString(network.graph.read_bytes())
    nodes = [layer.tensor.partition(":")[0] for layer in head.layers]
    return tf.compat.v1.graph_util.extract_sub_graph(definition, nodes)


def _floats(definition: Any) -> list[str]:
    """The tensors in which a network's graph has turned the pixels of `images` into floats."""
    return [f"{node.name}:0" for node in definition.node if node.op == "Cast" and "images" in node.input]


def _logits(definition: Any, inputs: Mapping[str, Any], head: Head) -> Any:
    tensors = [layer.tensor for layer in head.layers]
    layers = tf.graph_util.import_graph_def(definition, input_map=dict(inputs), return_elements=tensors, name="network")
    products = [tf.matmul(layer, tf.constant(kernel)) for layer, kernel in zip(layers, head.kernels, strict=True)]
    return tf.add_n([*products, tf.constant(head.bias)[None, :] + tf.zeros_like(products[0])])


def _fitted(decoded: Any, network: Network) -> Any:
    """One decoded image [height, width, 3] -> floats 0..255 [1, edge, edge, 3], cropped as the network's size says."""
    image = tf.cast(decoded, tf.float32)
    if network.resize == "crop":
        shape = tf.shape(decoded)
        side = tf.cast(tf.cast(tf.minimum(shape[0], shape[1]), tf.float32) * CROP_SHARE, tf.int32)
        image = tf.slice(image, [(shape[0] - side) // 2, (shape[1] - side) // 2, 0], [side, side, 3])
    resized = tf.image.resize(image[None], [network.edge, network.edge], method=network.filter, antialias=True)
    return tf.ensure_shape(resized, [1, network.edge, network.edge, 3])
