"""Networks of keras.applications are used with weights that are on this machine; nothing is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from worker.artifacts.source import ModelSource
from worker.engines.frameworks import FRAMEWORKS
from worker.errors import RetrainError
from worker.training.features.network import make, read_network

# Keras 3 and NumPy 2 disagree on how arrays are copied, in Keras's own saving.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:keras"),
    pytest.mark.timeout(300),
]

ARCHITECTURE = "mobilenet_0.25_128"  # the smallest, by the name that retrain.py gave it


@pytest.fixture
def keras_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    (tmp_path / "keras" / "models").mkdir(parents=True)
    return tmp_path / "keras" / "models"


def write_published(model: Any, file: Path) -> None:
    """Write weights in the older format in which those of keras.applications are published."""
    with h5py.File(file, "w") as written:
        written.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        for layer in model.layers:
            group = written.create_group(layer.name)
            names = [f"{number}:0" for number, _ in enumerate(layer.weights)]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, weight in zip(names, layer.weights, strict=True):
                group.create_dataset(name, data=weight.numpy())


def test_weights_that_are_here_are_used(keras_home: Path, tmp_path: Path) -> None:
    """The graph gives the features of the last layer and of earlier ones, of uint8 images, for every engine."""
    import keras

    body = keras.applications.MobileNet(input_shape=(128, 128, 3), alpha=0.25, include_top=False, weights=None)
    write_published(body, keras_home / "mobilenet_2_5_128_tf_no_top.h5")
    make(tmp_path, ARCHITECTURE)
    network = read_network(tmp_path)
    assert (network.edge, network.layers[0].width, next(iter(network.sets))) == (128, 256, "last")
    engine = FRAMEWORKS["openvino"].load(ModelSource(graph=network.graph, input_layer="images"))
    images = np.random.default_rng(0).integers(0, 256, (2, 128, 128, 3), np.uint8)
    rows = engine.predict(list(images))
    engine.close()
    assert rows.shape == (2, network.width)
    expected = body(images.astype(np.float32) / 127.5 - 1, training=False).numpy().mean(axis=(1, 2))
    assert np.allclose(rows[:, : network.layers[0].stop], expected, atol=1e-3)


def test_what_is_missing_is_named(keras_home: Path, tmp_path: Path) -> None:
    """Weights that are not here: the file and its address. A name that does not exist: those that do."""
    with pytest.raises(RetrainError, match=r"put https://\S+mobilenet_2_5_128_tf_no_top.h5 at ") as missing:
        make(tmp_path, ARCHITECTURE)
    assert str(keras_home) in str(missing.value)
    with pytest.raises(RetrainError, match=r"There is no architecture 'alexnet'.*MobileNetV2"):
        make(tmp_path, "alexnet")
