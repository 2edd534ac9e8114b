"""Layers that can run code are named, wherever in the configuration they stand; layers of Keras pass."""

from __future__ import annotations

from typing import Any

import pytest

from worker.artifacts.safety.keras_config import unsafe_in_config
from worker.engines.tensorflow.quiet_import import quiet_tensorflow

with quiet_tensorflow():
    import keras


def layer(name: str, module: str | None = "keras.layers", **config: Any) -> dict[str, Any]:
    return {"class_name": name, "module": module, "config": {"name": "here", **config}, "registered_name": None}


def inside(found: Any) -> dict[str, Any]:
    return layer("Sequential", "keras", layers=[layer("Dense"), layer("TimeDistributed", layer=found)])


@pytest.mark.parametrize(
    ("found", "named"),
    [
        (layer("Lambda"), "Lambda"),
        (layer("Lambda", module=None), "Lambda"),
        (layer("package>Lambda"), "Lambda"),
        (layer("TFSMLayer"), "TFSMLayer"),
        (layer("Dense") | {"registered_name": "keras>Lambda"}, "Lambda"),
        (layer("ResNet50", module="keras.applications"), "keras.applications.ResNet50"),
        (layer("TorchModuleWrapper"), "TorchModuleWrapper"),
        (layer("Dense", activation={"class_name": "__lambda__", "config": {"code": ""}}), "a lambda"),
        (layer("Popen", module="subprocess"), "subprocess.Popen"),
        (layer("get_file", module="keras.utils"), "keras.utils.get_file"),
        (layer("load_model", module="keras.models"), "keras.models.load_model"),
        (layer("StringLookup", vocabulary="/etc/passwd"), "/etc/passwd"),
        (layer("Dense", activation={"class_name": "function", "module": "os", "config": "system"}), "os.function"),
    ],
)
def test_what_can_run_code_is_named(found: dict[str, Any], named: str) -> None:
    """The sentence names the layer and what is in it."""
    sentence = unsafe_in_config(inside(found))
    assert sentence is not None
    assert named in sentence
    assert "the layer here" in sentence


def test_models_of_keras_pass() -> None:
    """Models as Keras 3 and Keras 2 describe them, with layers, activations and policies of Keras, are served."""
    pixels = keras.Input((32, 32, 3))
    x = keras.layers.Rescaling(1 / 127.5, -1)(pixels)
    x = keras.layers.RandomFlip()(x)
    x = keras.layers.Conv2D(4, 3, activation="relu", kernel_regularizer="l2", kernel_constraint="max_norm")(x)
    x = keras.layers.BatchNormalization()(x) * 2.0
    x = keras.ops.relu(keras.layers.GlobalAveragePooling2D()(x))
    model = keras.Model(pixels, keras.layers.Dense(3, activation=keras.activations.softmax)(x))
    assert unsafe_in_config(keras.saving.serialize_keras_object(model)) is None
    assert unsafe_in_config({"class_name": "Functional", "config": {"layers": [layer("Conv2D", module=None)]}}) is None
    assert unsafe_in_config(layer("Functional", module="keras.src.engine.functional")) is None
    assert unsafe_in_config(layer("StringLookup", vocabulary=["a", "b"])) is None
    assert unsafe_in_config(None) is None
