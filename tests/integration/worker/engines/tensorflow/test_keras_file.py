"""Keras files with several inputs and outputs, or an input that is no image."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.models.tensor_models import INPUTS, rows, totals, write_keras
from worker.artifacts.signatures.takes_tensors import takes_tensors
from worker.artifacts.source import ModelSource
from worker.engines.tensorflow.quiet_import import quiet_tensorflow
from worker.engines.tensors import Tensors, joined
from worker.errors import ModelError
from worker.inference.load_model import load_model
from worker.inference.tensor_model import TensorModel

with quiet_tensorflow():
    import keras

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:keras")


def loaded(path: Path) -> TensorModel:
    model = load_model(ModelSource(path=path, cache=path.parent), name="m")
    assert isinstance(model, TensorModel)
    return model


def specs(model: TensorModel) -> tuple[list[Any], list[str]]:
    inputs, outputs = model.signature.inputs or (), model.signature.outputs or ()
    return [(spec.name, spec.datatype, spec.shape) for spec in inputs], [spec.name for spec in outputs]


@pytest.mark.parametrize(
    ("suffix", "first", "names"), [(".keras", None, False), (".h5", None, False), (".keras", 2, True)]
)
def test_several_inputs_and_outputs_by_name(tmp_path: Path, suffix: str, first: int | None, names: bool) -> None:
    """Names are those of the layers, or of the dict that the model gives; a fixed batch is filled and cut."""
    model = loaded(write_keras(tmp_path / f"sums{suffix}", first=first, names=names))
    assert specs(model) == (INPUTS, ["doubled", "total"])
    three, one = model.predict([rows(3), rows(1)])
    assert joined(three).arrays["total"].tolist() == totals(3)
    assert joined(three).arrays["doubled"].tolist() == (rows(3).arrays["numbers"] * 2).tolist()
    assert joined(one).arrays["total"].tolist() == totals(1)
    described = model.describe()
    assert (described["engine"], described["platform"]) == ("tensorflow", "keras")
    model.close()


def test_a_sequential_model_of_a_table(tmp_path: Path) -> None:
    """Its one input has two axes, so it cannot be images; it is called as its layer is."""
    network = keras.Sequential([keras.Input((4,), name="flower-size"), keras.layers.Dense(2, name="scores")])
    network.save(tmp_path / "table.keras")
    model = loaded(tmp_path / "table.keras")
    assert specs(model) == ([("flower-size", "FP32", (4,))], ["scores"])
    table = np.arange(12, dtype=np.float32).reshape(3, 4)
    (found,) = model.predict([Tensors({"flower-size": table})])
    assert np.allclose(joined(found).arrays["scores"], network.predict_on_batch(table))
    model.close()


def test_texts_are_texts(tmp_path: Path) -> None:
    """A text goes in as it is, and is not taken for an image file."""
    network = keras.Sequential(
        [keras.Input((1,), dtype="string", name="text"), keras.layers.TextVectorization(vocabulary=["cat", "dog"])]
    )
    network.save(tmp_path / "text.keras")
    model = loaded(tmp_path / "text.keras")
    assert specs(model)[0] == [("text", "BYTES", (1,))]
    texts = np.array([[b"dog cat"], [b"cat cat"]], object)
    (found,) = model.predict([Tensors({"text": texts})])
    (numbers,) = joined(found).arrays.values()
    assert numbers.tolist() == [[3, 2], [2, 2]]
    model.close()


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_classifier_of_images_stays_one(tmp_path: Path, suffix: str) -> None:
    """One input that can be images and one output, functional or sequential; a damaged file is left to Keras."""
    images = keras.Input((8, 8, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(images)
    keras.Model(images, keras.layers.Dense(2)(pooled)).save(tmp_path / f"functional{suffix}")
    keras.Sequential([keras.Input((8, 8, 3)), keras.layers.GlobalAveragePooling2D()]).save(tmp_path / f"line{suffix}")
    assert not takes_tensors(tmp_path / f"functional{suffix}", "keras")
    assert not takes_tensors(tmp_path / f"line{suffix}", "keras")
    (tmp_path / f"bad{suffix}").write_bytes(b"no model")
    assert not takes_tensors(tmp_path / f"bad{suffix}", "keras")


def test_a_state_is_refused(tmp_path: Path) -> None:
    """A recurrent layer that remembers would pass one caller's rows on to another."""
    steps = keras.Input(batch_shape=(1, 4, 2), name="steps")
    other = keras.Input(batch_shape=(1, 3), name="other")
    remembered = keras.layers.LSTM(3, stateful=True)(steps)
    keras.Model([steps, other], keras.layers.Add()([remembered, other])).save(tmp_path / "state.keras")
    with pytest.raises(ModelError, match=r"keeps a state between calls.*save it without stateful layers"):
        loaded(tmp_path / "state.keras")


def test_code_in_a_model_of_tensors_does_not_run(tmp_path: Path) -> None:
    """A Lambda layer is refused before Keras builds anything."""
    path = write_keras(tmp_path / "sums.keras")
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(contents["config.json"])
    next(layer for layer in config["config"]["layers"] if layer["name"] == "doubled")["class_name"] = "Lambda"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (contents | {"config.json": json.dumps(config).encode()}).items():
            archive.writestr(name, content)
    assert takes_tensors(path, "keras")
    with pytest.raises(ModelError, match=r"Lambda.*--allow-unsafe-model"):
        loaded(path)
