"""The files that an .onnx model names are found wherever a tensor can be."""

from __future__ import annotations

from typing import Any

import pytest
from onnx import AttributeProto, ModelProto, TensorProto

from worker.artifacts.safety.onnx_model import external_files


def outside(place: str) -> TensorProto:
    tensor = TensorProto(name="w", data_location=TensorProto.EXTERNAL)
    for key, value in (("offset", "0"), ("location", place)):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return tensor


def put(model: ModelProto, where: str) -> None:
    node: Any = model.graph.node.add()
    if where == "initializer":
        model.graph.initializer.append(outside("w.bin"))
    elif where == "sparse initializer":
        model.graph.sparse_initializer.add().indices.CopyFrom(outside("w.bin"))
    elif where == "constant":
        node.attribute.append(AttributeProto(name="value", t=outside("w.bin")))
    elif where == "list":
        node.attribute.append(AttributeProto(name="values", tensors=[outside("w.bin")]))
    elif where == "branch":
        node.attribute.add().g.initializer.append(outside("w.bin"))
    elif where == "branches":
        node.attribute.add().graphs.add().initializer.append(outside("w.bin"))
    elif where == "function":
        model.functions.add().node.add().attribute.append(AttributeProto(name="value", t=outside("w.bin")))
    else:
        model.training_info.add().algorithm.initializer.append(outside("w.bin"))


@pytest.mark.parametrize(
    "where",
    ["initializer", "sparse initializer", "constant", "list", "branch", "branches", "function", "training"],
)
def test_a_tensors_file_is_found(where: str) -> None:
    """No place of a tensor hides the file that it names."""
    model = ModelProto(ir_version=8)
    put(model, where)
    assert external_files(memoryview(model.SerializeToString())) == ["w.bin"]


def test_a_model_without_files_has_none() -> None:
    """Metadata that looks alike is not taken for a tensor."""
    model = ModelProto(ir_version=8)
    model.metadata_props.add().key = "location"
    model.graph.initializer.append(TensorProto(name="w", raw_data=b"1234"))
    assert external_files(memoryview(model.SerializeToString())) == []
