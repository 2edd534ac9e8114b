"""Models that give a map from label to score for each image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from worker.artifacts.source import ModelSource
from worker.inference.model import load

onnx = pytest.importorskip("onnx")

NAMES = ["red", "green", "blue"]


def write_maps(path: Path) -> Path:
    """A model as converters of scikit-learn write it: the best label, and maps of scores. Gives `path` back."""
    floats, strings, helper = onnx.TensorProto.FLOAT, onnx.TensorProto.STRING, onnx.helper
    nodes = [
        helper.make_node("GlobalAveragePool", ["images"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["means"]),
        helper.make_node("Softmax", ["means"], ["shares"]),
        helper.make_node("ZipMap", ["shares"], ["maps"], domain="ai.onnx.ml", classlabels_strings=NAMES),
        helper.make_node("ArgMax", ["shares"], ["best"], axis=1, keepdims=0),
        helper.make_node(
            "LabelEncoder", ["best"], ["label"], domain="ai.onnx.ml", keys_int64s=[0, 1, 2], values_strings=NAMES
        ),
    ]
    maps = helper.make_sequence_type_proto(
        helper.make_map_type_proto(strings, helper.make_tensor_type_proto(floats, []))
    )
    entry = helper.make_tensor_value_info("images", floats, ["n", 3, 8, 8])
    exits = [helper.make_tensor_value_info("label", strings, ["n"]), helper.make_value_info("maps", maps)]
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("ai.onnx.ml", 2)]
    graph = helper.make_graph(nodes, "maps", [entry], exits)
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


@pytest.mark.parametrize("output", [None, "maps"])
def test_maps_hold_scores_and_labels(tmp_path: Path, output: str | None) -> None:
    """The maps are found beside the best label, their keys are the labels, and batches answer as single images do."""
    path = write_maps(tmp_path / "model.onnx")
    model = load(ModelSource(path=path, engine="onnx", output_layer=output), name="m")
    images = [np.eye(3, dtype=np.uint8)[colour] * np.full((8, 8, 1), 255, np.uint8) for colour in range(3)]
    assert sorted(model.labels) == sorted(NAMES)
    scores = model.predict(images)
    assert [model.top(row, 1)[0][0] for row in scores] == NAMES
    assert np.allclose(scores, np.concatenate([model.predict([image]) for image in images]))
    model.close()


def test_labels_in_a_model_count_more_than_a_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The file's order need not be that of the maps, so the names in the model are used, and the log says so."""
    path = write_maps(tmp_path / "model.onnx")
    (tmp_path / "labels.txt").write_text("rouge\nvert\nbleu\n")
    with caplog.at_level("INFO"):
        model = load(ModelSource(path=path, engine="onnx"), name="m")
    assert sorted(model.labels) == sorted(NAMES)
    assert "those in" in caplog.text
    model.close()
