"""A frozen graph -> the same in few operations, kept in a file; and from there a session, which is made quickly.

To load a SavedModel and to make its constants takes seconds of Python, and Python's lock for tens of milliseconds at
a time; whoever answers requests in that process waits. So that is done once, by a process apart. What is left here is
one import of a graph that TensorFlow's optimizer has been over, which then needs not be optimized again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # it publishes no types
from numpy.typing import NDArray
from tensorflow.core.protobuf import config_pb2
from tensorflow.python.eager import context
from tensorflow.python.grappler import tf_optimizer

from worker.artifacts.source import Preprocess
from worker.engines.adapter import Runner
from worker.engines.input_plan import UNTOUCHED, Images, layout_of, plan, spec_of, stacked
from worker.errors import ModelError

SUFFIX = ".session"

_ENTRY, _EXIT = "images", "scores"


class SessionEngine(Runner):
    """An engine around a session whose graph goes from uint8 `images` [n, height, width, 3] to `scores`."""

    def __init__(self, path: Path, said: Preprocess) -> None:
        self._session: Any = tf.compat.v1.Session(graph=_imported(path), config=_as_it_is())
        graph = self._session.graph
        call = self._session.make_callable(f"{_EXIT}:0", feed_list=[f"{_ENTRY}:0"])
        shape = graph.get_tensor_by_name(f"{_ENTRY}:0").shape.as_list()

        def run(images: Images) -> NDArray[Any]:
            scores: NDArray[Any] = call(stacked(images))
            return scores

        prepared = plan(layout_of(shape), said, scaling=UNTOUCHED)
        super().__init__(run, spec_of(prepared, said), name="tensorflow", platform="tensorflow_graphdef")

    def close(self) -> None:
        """Let go of the graph and its constants."""
        super().close()
        self._session.close()
        self._session = None


def write(frozen: Any, file: Path) -> None:
    """Write the graph of a frozen function (see `tf_program`) from uint8 images to scores, in few operations."""
    definition = frozen.graph.as_graph_def()
    exit_ = definition.node.add(name=_EXIT, op="Identity", input=[frozen.outputs[0].name])
    exit_.attr["T"].type = frozen.outputs[0].dtype.as_datatype_enum
    file.write_bytes(_simplified(definition).SerializeToString())


def _simplified(definition: Any) -> Any:
    """The GraphDef as Grappler, TensorFlow's optimizer, leaves it, with nodes of these two names kept."""
    graph = tf.Graph()
    with graph.as_default():
        tf.graph_util.import_graph_def(definition, name="")
    whole = tf.compat.v1.train.export_meta_graph(graph_def=definition, graph=graph)
    whole.collection_def["train_op"].node_list.value.extend([_ENTRY, _EXIT])
    config = config_pb2.ConfigProto()
    config.graph_options.rewrite_options.min_graph_nodes = -1  # small ones, too
    return tf_optimizer.OptimizeGraph(config, whole)


def _imported(path: Path) -> Any:
    definition = tf.compat.v1.GraphDef()
    try:
        definition.ParseFromString(path.read_bytes())
    except (OSError, DecodeError) as error:
        raise ModelError(f"{path} is not a graph that can be read ({error}).") from error
    graph = tf.Graph()
    with graph.as_default():
        tf.graph_util.import_graph_def(definition, name="")
    return graph


def _as_it_is() -> Any:
    """The process's own settings of threads and devices, without another optimization of the graph."""
    config = config_pb2.ConfigProto()
    config.CopyFrom(context.context().config)
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    config.graph_options.optimizer_options.opt_level = config_pb2.OptimizerOptions.L0
    return config
