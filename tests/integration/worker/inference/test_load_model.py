"""Which kind of model a path leads to, and what it answers: Python files, and artifacts with any inputs and outputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.support.models import dense_model
from worker.artifacts.signatures.takes_tensors import takes_tensors
from worker.artifacts.source import ModelSource, locate
from worker.engines.tensors import Tensors, joined
from worker.errors import ModelError
from worker.inference.load_model import load_classifier, load_model
from worker.inference.model import Model
from worker.inference.tensor_model import TensorModel

PASSING = """
import numpy as np

class Passing:
    def load(self):
        pass

    def predict(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return inputs
"""


def test_code_in_a_folder_runs_only_where_it_is_allowed(tmp_path: Path) -> None:
    """Who names a file wants it to run; who names a folder may not know that there is code in it."""
    marker = tmp_path / "ran"
    code = tmp_path / "model.py"
    code.write_text(f"open({str(marker)!r}, 'w')\n" + PASSING)
    with pytest.raises(ModelError, match=r"a Python program.*--allow-unsafe-model, or name the file itself"):
        load_model(ModelSource(path=tmp_path, cache=tmp_path), name="m")
    assert not marker.exists()
    load_model(ModelSource(path=code, cache=tmp_path), name="m").close()
    assert marker.exists()


def test_another_program_called_model_py_is_no_model(tmp_path: Path) -> None:
    """A script that trained a model often lies beside it under that name."""
    (tmp_path / "model.py").write_text("class Net:\n    def forward(self, x):\n        return x\n")
    (tmp_path / "cats.keras").touch()
    assert locate(tmp_path).path == tmp_path / "cats.keras"


def test_p2p_label_takes_classifiers(tmp_path: Path) -> None:
    """A Python model that gives labels is one; one of tensors is refused in a sentence."""
    code = tmp_path / "labels.py"
    code.write_text(
        "import numpy as np\nclass L:\n    def load(self):\n        self.labels = ['a', 'b']\n"
        "    def predict(self, images: list[np.ndarray]) -> list[str]:\n        return ['b'] * len(images)\n"
    )
    model = load_classifier(ModelSource(path=code, cache=tmp_path), name="m")
    assert isinstance(model, Model)
    assert model.top(model.predict([np.zeros((2, 2, 3), np.uint8)])[0], 1) == [("b", 1.0)]
    assert model.trouble is None
    model.close()
    code.write_text(PASSING)
    with pytest.raises(ModelError, match="gives tensors, not labels"):
        load_classifier(ModelSource(path=code, cache=tmp_path), name="m")


def write_onnx(path: Path, *, first: int | str = "n") -> Path:
    """total = sum of each row of `numbers` [n, 3] + `offset` [n]; `text` comes back as it is."""
    values = [
        helper.make_tensor_value_info("numbers", TensorProto.FLOAT, [first, 3]),
        helper.make_tensor_value_info("offset", TensorProto.INT64, [first]),
        helper.make_tensor_value_info("text", TensorProto.STRING, [first]),
    ]
    outputs = [
        helper.make_tensor_value_info("total", TensorProto.FLOAT, [first]),
        helper.make_tensor_value_info("same", TensorProto.STRING, [first]),
    ]
    nodes = [
        helper.make_node("ReduceSum", ["numbers", "axis"], ["sum"], keepdims=0),
        helper.make_node("Cast", ["offset"], ["added"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["sum", "added"], ["total"]),
        helper.make_node("Identity", ["text"], ["same"]),
    ]
    axis = helper.make_tensor("axis", TensorProto.INT64, [1], [1])
    graph = helper.make_graph(nodes, "sums", values, outputs, [axis])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


def rows(count: int) -> Tensors:
    text = np.empty(count, dtype=object)
    text[:] = [f"é{number}".encode() for number in range(count)]
    numbers = np.arange(3 * count, dtype=np.float32).reshape(count, 3)
    return Tensors({"numbers": numbers, "offset": np.arange(count), "text": text})


@pytest.mark.parametrize("first", ["n", 1, 2])
def test_an_onnx_model_of_several_tensors(tmp_path: Path, first: int | str) -> None:
    """Numbers and texts, several inputs and outputs; a fixed batch is filled and cut."""
    model = load_model(ModelSource(path=write_onnx(tmp_path / "sums.onnx", first=first), cache=tmp_path), name="sums")
    assert isinstance(model, TensorModel)
    assert [(spec.name, spec.datatype, spec.shape) for spec in model.signature.inputs or ()] == [
        ("numbers", "FP32", (3,)), ("offset", "INT64", ()), ("text", "BYTES", ())
    ]  # fmt: skip
    three, one = model.predict([rows(3), rows(1)])
    assert joined(three).arrays["total"].tolist() == [3.0, 13.0, 23.0]
    assert joined(three).arrays["same"].tolist() == ["é0".encode(), "é1".encode(), "é2".encode()]
    assert joined(one).arrays["total"].tolist() == [3.0]
    assert model.describe()["engine"] == "onnx"
    model.close()


def test_a_classifier_in_onnx_stays_one(tmp_path: Path) -> None:
    """Its one input is an image, with the names of its weights beside it or not."""
    path = dense_model.write_onnx(tmp_path / "dense.onnx")
    assert not takes_tensors(path, "onnx")
    model = onnx.load(path)
    for weight in model.graph.initializer:  # as converters wrote them before ONNX 1.4
        model.graph.input.append(helper.make_tensor_value_info(weight.name, weight.data_type, weight.dims))
    onnx.save(model, path)
    assert not takes_tensors(path, "onnx")
    assert takes_tensors(write_onnx(tmp_path / "sums.onnx"), "onnx")
    (tmp_path / "damaged.onnx").write_bytes(b"no model")
    assert not takes_tensors(tmp_path / "damaged.onnx", "onnx")


@pytest.mark.parametrize(
    ("change", "sentence"), [("scalar", "is a single value"), ("rows", "must be that of the rows")]
)
def test_an_onnx_model_without_rows_is_refused(tmp_path: Path, change: str, sentence: str) -> None:
    """What cannot be batched is said at load."""
    path = write_onnx(tmp_path / "sums.onnx")
    model = onnx.load(path)
    if change == "scalar":
        model.graph.input[1].type.tensor_type.shape.ClearField("dim")
    else:
        model.graph.initializer[0].CopyFrom(helper.make_tensor("axis", TensorProto.INT64, [1], [0]))
        del model.graph.output[1], model.graph.node[1:], model.graph.input[1:]
        model.graph.node[0].output[0] = "total"
    onnx.save(model, path)
    with pytest.raises(ModelError, match=sentence):
        load_model(ModelSource(path=path, cache=tmp_path), name="sums")
