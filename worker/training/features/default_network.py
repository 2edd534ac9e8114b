"""The default network and those of its layers whose features heads may be learned on; loads Keras."""

from __future__ import annotations

from typing import Any

from worker.default_model import efficientnet_lite0, export
from worker.engines.tensorflow.quiet_import import quiet_tensorflow
from worker.training.features.keras_network import LAST, KerasNetwork

with quiet_tensorflow():
    import keras


def default_network() -> KerasNetwork:
    """The default network's layers: means over the image and, of some, means over each of 2 x 2 or 4 x 4 fields.

    Features of earlier layers help where photos differ from ImageNet's, and features by place where it matters where
    something is. Which of them to use is decided by cross-validation; `python -m benchmarks.training` measures it.
    """
    body = efficientnet_lite0.features(export.weights())
    mean = keras.layers.GlobalAveragePooling2D

    def fields(output: Any, across: int) -> Any:
        return keras.layers.Flatten()(keras.layers.AveragePooling2D(output.shape[1] // across)(output))

    outputs = efficientnet_lite0.activations(body)
    layers = {
        LAST: body.outputs[0],
        "block15": mean()(outputs[15].depthwise),
        "block10": mean()(outputs[10].depthwise),
        "block7": mean()(outputs[7].depthwise),
        "block9-2x2": fields(outputs[9].end, 2),
        "block6-2x2": fields(outputs[6].end, 2),
        "block4-4x4": fields(outputs[4].end, 4),
    }
    sets = {
        "last": (LAST,),
        "last and late": (LAST, "block15"),
        "last, late and middle": (LAST, "block15", "block10", "block9-2x2"),
        "last to early": (LAST, "block10", "block7", "block6-2x2", "block4-4x4"),
    }
    return KerasNetwork(body.inputs[0], efficientnet_lite0.EDGE, layers, sets)
