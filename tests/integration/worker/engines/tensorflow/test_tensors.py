"""A SavedModel whose signature takes and gives several tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from worker.artifacts.signatures.takes_tensors import takes_tensors
from worker.artifacts.source import ModelSource
from worker.engines.tensors import Tensors, joined
from worker.errors import ModelError
from worker.inference.load_model import load_model
from worker.inference.tensor_model import TensorModel


class Sums(tf.Module):
    @tf.function(
        input_signature=[
            tf.TensorSpec([None, 3], tf.float32, name="numbers"),
            tf.TensorSpec([None], tf.string, name="text"),
        ]
    )
    def sums(self, numbers: Any, text: Any) -> dict[str, Any]:
        return {"total": tf.reduce_sum(numbers, axis=1), "same": text}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    module = Sums()
    tf.saved_model.save(module, str(folder), signatures=module.sums)
    return folder


def test_numbers_and_texts_by_name(saved: Path, tmp_path: Path) -> None:
    """Inputs and outputs have the signature's names, and rows of two requests go together."""
    model = load_model(ModelSource(path=saved, cache=tmp_path), name="sums")
    assert isinstance(model, TensorModel)
    assert [(spec.name, spec.datatype, spec.shape) for spec in model.signature.inputs or ()] == [
        ("numbers", "FP32", (3,)),
        ("text", "BYTES", ()),
    ]
    text = np.empty(2, dtype=object)
    text[:] = [b"a", b"\xff"]
    request = Tensors({"numbers": np.ones((2, 3), np.float32), "text": text})
    one, other = model.predict([request, request.part(1, 2)])
    assert joined(one).arrays["total"].tolist() == [3.0, 3.0]
    assert joined(other).arrays["same"].tolist() == [b"\xff"]
    model.close()


class Means(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 3], tf.float32)])
    def means(self, images: Any) -> dict[str, Any]:
        return {"scores": tf.reduce_mean(images, axis=(1, 2)), "best": tf.zeros([tf.shape(images)[0]], tf.int64)}

    @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 3], tf.float32)])
    def boxes(self, images: Any) -> dict[str, Any]:
        return {"boxes": tf.zeros([tf.shape(images)[0], 2, 4]), "scores": tf.zeros([tf.shape(images)[0], 2])}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def files(self, files: Any) -> dict[str, Any]:
        return {"scores": tf.zeros([tf.size(files), 3]) + tf.cast(tf.size(tf.io.decode_image(files[0])), tf.float32)}


@pytest.mark.parametrize(("signature", "tensors"), [("means", False), ("boxes", True), ("files", False), (None, False)])
def test_classifiers_of_images_stay_classifiers(tmp_path: Path, signature: str | None, tensors: bool) -> None:
    """One image, or its file, in and one vector of scores out; which signature counts is as for every SavedModel."""
    module = Means()
    signatures = {"means": module.means, "boxes": module.boxes, "files": module.files}
    default = {"serving_default": module.means}
    tf.saved_model.save(module, str(tmp_path), signatures=default | signatures)
    assert takes_tensors(tmp_path, "savedmodel", signature=signature) == tensors


class Lengths(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def lengths(self, text: Any) -> dict[str, Any]:
        return {"length": tf.cast(tf.strings.length(text), tf.float32)[:, tf.newaxis] * [1.0, 2.0]}


def test_texts_are_no_image_files_where_nothing_decodes_them(tmp_path: Path) -> None:
    """A model of texts gets them as they are."""
    module = Lengths()
    tf.saved_model.save(module, str(tmp_path / "m"), signatures=module.lengths)
    model = load_model(ModelSource(path=tmp_path / "m", cache=tmp_path), name="lengths")
    assert isinstance(model, TensorModel)
    text = np.empty(2, dtype=object)
    text[:] = [b"four", b"three"]
    (found,) = model.predict([Tensors({"text": text})])
    assert joined(found).arrays["length"].tolist() == [[4.0, 8.0], [5.0, 10.0]]
    model.close()


def test_another_engine_is_refused(saved: Path, tmp_path: Path) -> None:
    """Only TensorFlow serves the tensors of a SavedModel."""
    with pytest.raises(ModelError, match="served by --engine tensorflow, not onnx"):
        load_model(ModelSource(path=saved, cache=tmp_path, engine="onnx"), name="sums")
