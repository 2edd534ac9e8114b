"""OpenVINO's own files with several inputs and outputs, or an input that is no image."""

from __future__ import annotations

from operator import itemgetter
from pathlib import Path

import numpy as np
import pytest

from tests.support.models.dense_model import write_onnx
from tests.support.models.tensor_models import INPUTS, OUTPUTS, rows, totals, write_openvino, write_tflite
from worker.artifacts.signatures.takes_tensors import takes_tensors
from worker.artifacts.source import ModelSource
from worker.engines.tensors import Tensors, joined
from worker.errors import ModelError
from worker.inference.load_model import load_model
from worker.inference.model import Model
from worker.inference.tensor_model import TensorModel

openvino = pytest.importorskip("worker.engines.openvino.runtime").openvino
ops = openvino.opset13


def loaded(path: Path, **said: str) -> TensorModel:
    model = load_model(ModelSource(path=path, cache=path.parent, **said), name="sums")  # type: ignore[arg-type]  # texts
    assert isinstance(model, TensorModel)
    return model


@pytest.mark.parametrize(("kind", "first"), [("openvino", -1), ("openvino", 1), ("openvino", 2), ("tflite", 2)])
def test_several_inputs_and_outputs_by_name(tmp_path: Path, kind: str, first: int) -> None:
    """Names are a signature's, else the tensors' shortest, else the operations'; a fixed batch is filled and cut."""
    write, suffix = (write_tflite, ".tflite") if kind == "tflite" else (write_openvino, ".xml")
    model = loaded(write(tmp_path / f"sums{suffix}", first=first))
    by_name = itemgetter(0)
    inputs = [(spec.name, spec.datatype, spec.shape) for spec in model.signature.inputs or ()]
    outputs = [(spec.name, spec.datatype, spec.shape) for spec in model.signature.outputs or ()]
    assert (sorted(inputs, key=by_name), sorted(outputs, key=by_name, reverse=True)) == (INPUTS, OUTPUTS)
    three, one = model.predict([rows(3), rows(1)])
    assert joined(three).arrays["total"].tolist() == totals(3)
    assert joined(three).arrays["doubled"].tolist() == (rows(3).arrays["numbers"] * 2).tolist()
    assert joined(one).arrays["total"].tolist() == totals(1)
    described = model.describe()
    assert (described["engine"], described["platform"], described["device"]) == ("openvino", kind, "cpu")
    model.close()


def test_answers_stay_when_the_next_rows_come(tmp_path: Path) -> None:
    """OpenVINO writes every answer into the same memory; a caller's answer is its own."""
    model = loaded(write_openvino(tmp_path / "sums.xml"))
    (first,) = model.predict([rows(2)])
    model.predict([Tensors({name: array + 5 for name, array in rows(2).arrays.items()})])
    assert joined(first).arrays["total"].tolist() == totals(2)
    model.close()


def test_whole_numbers_and_truth_values(tmp_path: Path) -> None:
    """A table of one input with numbers of another type; read-only memory is left as it is."""
    table = ops.parameter([-1, 2], openvino.Type.i64, name="table")
    larger = ops.greater(table, ops.constant(np.int64(3)), name="larger")
    openvino.save_model(openvino.Model([larger], [table], "larger"), tmp_path / "m.xml")
    model = loaded(tmp_path / "m.xml")
    assert [(spec.name, spec.datatype) for spec in model.signature.outputs or ()] == [("larger", "BOOL")]
    array = np.frombuffer(np.array([[1, 5], [7, 3]], np.int64).tobytes(), np.int64).reshape(2, 2)
    (found,) = model.predict([Tensors({"table": array})])
    assert joined(found).arrays["larger"].tolist() == [[False, True], [True, False]]
    model.close()


def test_a_classifier_stays_one(tmp_path: Path) -> None:
    """One input that can be images and one output; a damaged file is left to OpenVINO."""
    openvino.save_model(openvino.Core().read_model(write_onnx(tmp_path / "m.onnx")), tmp_path / "m.xml", False)
    assert not takes_tensors(tmp_path / "m.xml", "openvino")
    model = load_model(ModelSource(path=tmp_path / "m.xml", cache=tmp_path), name="m")
    assert isinstance(model, Model)
    model.close()
    (tmp_path / "m.xml").write_text("<net>")
    assert not takes_tensors(tmp_path / "m.xml", "openvino")


def test_named_layers_keep_a_model_a_classifier(tmp_path: Path) -> None:
    """With --input-layer a model is one of images, or refused as one."""
    path = write_openvino(tmp_path / "sums.xml")
    with pytest.raises(ModelError, match="only \\[n, height, width, 3\\]"):
        load_model(ModelSource(path=path, cache=tmp_path, input_layer="numbers", output_layer="total"), name="m")


def test_another_engine_is_refused(tmp_path: Path) -> None:
    """Only OpenVINO reads its files."""
    with pytest.raises(ModelError, match="served by --engine openvino, not onnx"):
        loaded(write_openvino(tmp_path / "sums.xml"), engine="onnx")


def test_what_cannot_be_batched_is_refused(tmp_path: Path) -> None:
    """A single value, a type that no request has, and a state that would pass from caller to caller."""
    value = ops.parameter([], openvino.Type.f32, name="value")
    half = ops.parameter([-1, 2], openvino.Type.bf16, name="half")
    state = ops.read_value(ops.constant(np.zeros((1, 2), np.float32)), "state")
    table = ops.parameter([-1, 2], openvino.Type.f32, name="table")
    added = ops.add(table, state)
    models = {
        "value is a single value": openvino.Model([ops.negative(value)], [value], "m"),
        "half is a bf16": openvino.Model([ops.negative(half)], [half], "m"),
        "keeps a state": openvino.Model([ops.result(added)], [ops.assign(added, "state")], [table], "m"),
    }
    for number, (sentence, model) in enumerate(models.items()):
        openvino.save_model(model, tmp_path / f"{number}.xml", compress_to_fp16=False)
        with pytest.raises(ModelError, match=sentence):
            loaded(tmp_path / f"{number}.xml")


def write_quantized_table(path: Path) -> Path:
    """A .tflite file of whole numbers for 0..1 that gives back what goes in, but for rounding; gives `path` back."""
    from worker.engines.tensorflow.quiet_import import quiet_tensorflow

    with quiet_tensorflow():
        import keras
        import tensorflow as tf

    table = keras.Input((2,), name="table")
    same = keras.layers.Dense(2, use_bias=False, kernel_initializer="identity")(table)
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(table, same))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([np.float32([[share, 1 - share]])] for share in np.linspace(0, 1, 11))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    path.write_bytes(converter.convert())
    return path


@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs:UserWarning")
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:keras")
def test_whole_numbers_of_a_quantized_table_go_in_as_they_are(tmp_path: Path) -> None:
    """A .tflite file's numbers are those of its tensors, as in TensorFlow Lite."""
    model = loaded(write_quantized_table(tmp_path / "table.tflite"))
    assert [(spec.name, spec.datatype, spec.shape) for spec in model.signature.inputs or ()] == [
        ("table", "INT8", (2,))
    ]
    numbers = np.array([[-128, 127], [0, 100], [50, -60]], np.int8)
    (found,) = model.predict([Tensors({"table": numbers})])
    (values,) = joined(found).arrays.values()
    assert values.dtype == np.int8
    assert np.abs(values.astype(int) - numbers).max() <= 2
    model.close()
