"""Which inputs and outputs a .tflite file has, by its bytes alone."""

from __future__ import annotations

import contextlib

import flatbuffers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.artifacts.damaged import Damaged
from worker.artifacts.signatures.tensor_shapes import Entry
from worker.artifacts.signatures.tflite_file import entries_of, signature_names
from worker.engines.tensorflow.quiet_import import quiet_tensorflow

with quiet_tensorflow():
    from tensorflow.lite.python import schema_py_generated as schema


def tensor(name: str, *shape: int) -> schema.TensorT:
    found = schema.TensorT()
    found.name, found.shape = name, list(shape)
    return found


def named(name: str, number: int) -> schema.TensorMapT:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name, number
    return entry


def written(*, signature: bool) -> bytes:
    graph, model = schema.SubGraphT(), schema.ModelT()
    graph.tensors = [tensor("inner", 2), tensor("table:0", 1, 4), tensor("image", 1, 8, 8, 3), tensor("any")]
    graph.inputs, graph.outputs = [1, 2], [3]
    model.subgraphs = [graph]
    if signature:
        definition = schema.SignatureDefT()
        definition.inputs, definition.outputs = [named("table", 1), named("photo", 2)], [named("scores", 3)]
        model.signatureDefs = [definition]
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


WITH, WITHOUT = written(signature=True), written(signature=False)


def test_inputs_and_outputs_of_the_first_graph() -> None:
    """Their ranks are the numbers of their lengths; a tensor without lengths has any."""
    inputs = [Entry("table:0", 2), Entry("image", 4)]
    assert entries_of(memoryview(WITH)) == (inputs, [Entry("any", None)])


def test_a_signature_names_them() -> None:
    """By the names of their tensors; a file may have none."""
    assert signature_names(memoryview(WITH)) == ({"table:0": "table", "image": "photo"}, {"any": "scores"})
    assert signature_names(memoryview(WITHOUT)) == ({}, {})


@pytest.mark.parametrize("content", [b"", b"no model", WITH[:40], b"\x00" * 4 + b"TFL3"])
def test_what_is_no_model_is_damaged(content: bytes) -> None:
    """Too short, of another kind, or cut off."""
    with pytest.raises(Damaged):
        entries_of(memoryview(content))


@given(st.lists(st.tuples(st.integers(8, len(WITH) - 1), st.integers(0, 255)), max_size=6))
def test_any_bytes_end(changes: list[tuple[int, int]]) -> None:
    """No change makes the reader hang or raise anything else."""
    data = bytearray(WITH)
    for place, value in changes:
        data[place] = value
    for read in (entries_of, signature_names):
        with contextlib.suppress(Damaged):
            read(memoryview(bytes(data)))
