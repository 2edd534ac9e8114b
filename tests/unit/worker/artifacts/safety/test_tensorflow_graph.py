"""Operations that reach outside are known by name, those of TensorFlow's savers by who uses them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from worker.artifacts.safety.tensorflow_graph import reaches_outside, unsafe_in_graph, unsafe_in_saved_model
from worker.engines.tensorflow.quiet_import import quiet_tensorflow

with quiet_tensorflow():
    import tensorflow as tf
    from tensorflow.core.framework import op_def_pb2
    from tensorflow.core.protobuf import saved_model_pb2
    from tensorflow.python.client import pywrap_tf_session


def graph(*nodes: tuple[str, str, list[str]]) -> Any:
    definition = tf.compat.v1.GraphDef()
    for name, op, inputs in nodes:
        definition.node.add(name=name, op=op, input=inputs)
    return definition


def in_graph(definition: Any) -> str | None:
    return unsafe_in_graph(memoryview(definition.SerializeToString()))


def in_saved_model(model: Any) -> str | None:
    return unsafe_in_saved_model(memoryview(model.SerializeToString()))


def saver_model() -> Any:
    """A SavedModel of TensorFlow 1: a signature from `x` to `y`, and a saver with the tensor `save/done`."""
    model = saved_model_pb2.SavedModel()
    meta = model.meta_graphs.add()
    meta.graph_def.CopyFrom(
        graph(
            ("x", "Placeholder", []),
            ("y", "Softmax", ["x"]),
            ("save/SaveV2", "SaveV2", ["file", "v"]),
            ("save/done", "Identity", ["file", "^save/SaveV2"]),
            ("save/RestoreV2", "RestoreV2", ["file"]),
            ("save/restore_all", "NoOp", ["^save/RestoreV2"]),
        )
    )
    meta.saver_def.save_tensor_name, meta.saver_def.restore_op_name = "save/done:0", "save/restore_all"
    meta.signature_def["serving_default"].inputs["image"].name = "x:0"
    meta.signature_def["serving_default"].outputs["scores"].name = "y:0"
    return model


def test_an_operation_that_reaches_outside_is_named() -> None:
    """The sentence names the operation and its node; a graph that only computes passes."""
    assert in_graph(graph(("a", "Placeholder", []), ("b", "Softmax", ["a"]))) is None
    assert in_graph(graph(("a", "Softmax", []), ("leak", "ReadFile", []))) == "the operation ReadFile (leak)"
    assert in_graph(graph(("s", "SaveV2", []))) == "the operation SaveV2 (s)"


def test_functions_of_the_graph_are_looked_into() -> None:
    """An operation inside a function counts, called or not."""
    definition = graph(("a", "Placeholder", []))
    function = definition.library.function.add()
    function.signature.name = "inner"
    function.node_def.add(name="w", op="WriteFile")
    assert in_graph(definition) == "the operation WriteFile (w)"


def test_printing_to_a_file_is_writing() -> None:
    """PrintV2 is harmless on stderr, and writes where its attribute names a file."""
    definition = graph(("p", "PrintV2", []))
    definition.node[0].attr["output_stream"].s = b"stderr"
    assert in_graph(definition) is None
    definition.node[0].attr["output_stream"].s = b"file:///etc/passwd"
    assert in_graph(definition) == "the operation PrintV2 (p)"


def test_a_saver_is_a_part_of_every_saved_model() -> None:
    """Operations that only the saver uses pass."""
    assert in_saved_model(saver_model()) is None


@pytest.mark.parametrize("by", ["signature", "initializer", "function", "restore"])
def test_nobody_else_may_save(by: str) -> None:
    """A signature, an initializer, a function of the object graph or the restoring that saves is refused."""
    model = saver_model()
    meta = model.meta_graphs[0]
    if by == "signature":
        meta.graph_def.node[1].input.append("^save/done")
    elif by == "initializer":
        meta.collection_def["saved_model_main_op"].node_list.value.append("save/done")
    elif by == "function":
        function = meta.graph_def.library.function.add()
        function.signature.name = "inner"
        function.node_def.add(name="save/SaveV2", op="SaveV2")
        outer = meta.graph_def.library.function.add()
        outer.signature.name = "outer"
        outer.node_def.add(name="call", op="PartitionedCall").attr["f"].func.name = "inner"
        meta.object_graph_def.concrete_functions["outer"].SetInParent()
    else:
        meta.graph_def.node[-1].input.append("^save/SaveV2")
    assert in_saved_model(model) == "the operation SaveV2 (save/SaveV2)"


def test_what_keras_and_tensorflow_write_passes(tmp_path: Path) -> None:
    """SavedModels as people have them, with variables, preprocessing and a table in memory, are served."""
    whole = tf.Module()
    whole.v = tf.Variable(tf.ones([12, 2]))
    keys, values = tf.constant(["a", "b"]), tf.constant([0, 1], tf.int64)
    whole.table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, values), -1)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def answer(encoded: Any) -> Any:
        images = tf.map_fn(lambda e: tf.io.decode_jpeg(e, channels=3), encoded, fn_output_signature=tf.uint8)
        images = tf.image.resize(images, [2, 2])
        return tf.nn.softmax(tf.reshape(images, [-1, 12]) @ whole.v) + tf.cast(whole.table.size(), tf.float32)

    whole.answer = answer
    tf.saved_model.save(whole, str(tmp_path), signatures=answer)
    assert unsafe_in_saved_model(memoryview((tmp_path / "saved_model.pb").read_bytes())) is None


SAVER_GRAPH = saver_model().meta_graphs[0].graph_def.SerializeToString()
edits = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=4)


@given(edits)
def test_nothing_that_tensorflow_reads_is_damaged_here(changes: list[tuple[int, int]]) -> None:
    """However bytes are changed: a graph that TensorFlow reads is looked into, with every operation that it has."""
    data = bytearray(SAVER_GRAPH)
    for place, value in changes:
        data[place % len(data)] = value
    read = tf.compat.v1.GraphDef()
    try:
        read.ParseFromString(bytes(data))
    except DecodeError:
        return
    found = unsafe_in_graph(memoryview(data))
    assert found or not any(reaches_outside(node.op) for node in read.node)


SUSPICIOUS = ("file", "read", "write", "save", "restore", "load", "dump", "print", "func", "rpc", "remote", "call")
COMPUTING = (
    *(
        "BarrierReadySize",
        "BatchFunction",
        "DisableCopyOnRead",
        "ExperimentalThreadPoolHandle",
        "Fingerprint",
        "FuncAttr",
    ),
    *("FuncListAttr", "LookupTableImport", "PartitionedCall", "Print", "PrintV2", "ReadVariableOp"),
    *(
        "ReadVariableXlaSplitND",
        "RngReadAndSkip",
        "SdcaFprint",
        "StatefulPartitionedCall",
        "TensorArrayRead",
        "TensorArrayReadV2",
    ),
    *("TensorArrayReadV3", "TensorArrayWrite", "TensorArrayWriteV2", "TensorArrayWriteV3", "ThreadPoolHandle"),
    *("ThreadUnsafeUnigramCandidateSampler", "_ReadVariablesOp"),
)
"""Operations with a suspicious word in their names that were looked at: they only compute, or print to stderr."""


def test_every_suspicious_operation_of_this_tensorflow_is_known() -> None:
    """A new version's operation on files, processes or Python is refused, or somebody has looked at it."""
    ops = op_def_pb2.OpList()
    ops.ParseFromString(pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList()))
    suspicious = {op.name for op in ops.op if any(word in op.name.lower() for word in SUSPICIOUS)}
    suspicious |= {op.name for op in ops.op for attr in op.attr if "file" in attr.name.lower()}
    unknown = {name for name in suspicious if not reaches_outside(name)} - set(COMPUTING)
    assert unknown == set()
    assert not any(map(reaches_outside, COMPUTING))
