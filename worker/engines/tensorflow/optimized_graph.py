"""A frozen graph -> a file with the same graph in fewer operations -> a session that loads it quickly.

Loading a SavedModel and freezing it takes seconds of Python code, which hold Python's lock for tens of milliseconds at
a time; requests in that process wait. So a child process does it once. The worker then imports a graph that
TensorFlow's optimizer has already optimized (docs/decisions/0007-swaps.md).
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

from worker.artifacts.preprocess_config import Preprocess
from worker.engines.adapter import EngineAdapter
from worker.engines.model_io.input_plan import UNTOUCHED, Images, layout_of, plan, spec_of, stacked
from worker.errors import ModelError

SUFFIX = ".session"

_ENTRY, _EXIT = "images", "scores"


class SessionEngine(EngineAdapter):
    """An engine that runs a session of a graph from uint8 `images` [n, height, width, 3] to `scores`."""

    def __init__(self, path: Path, requested: Preprocess) -> None:
        self._session: Any = tf.compat.v1.Session(graph=_imported(path), config=_without_optimizer())
        graph = self._session.graph
        call = self._session.make_callable(f"{_EXIT}:0", feed_list=[f"{_ENTRY}:0"])
        shape = graph.get_tensor_by_name(f"{_ENTRY}:0").shape.as_list()

        def forward(images: Images) -> NDArray[Any]:
            scores: NDArray[Any] = call(stacked(images))
            return scores

        prepared = plan(layout_of(shape), requested, scaling=UNTOUCHED)
        super().__init__(forward, spec_of(prepared, requested), name="tensorflow", platform="tensorflow_graphdef")

    def close(self) -> None:
        """Release the graph and its constants."""
        super().close()
        self._session.close()
        self._session = None


def write(frozen: Any, file: Path) -> None:
    """Write the optimized graph of a frozen function (see `program`) from uint8 images to scores."""
    definition = frozen.graph.as_graph_def()
    exit_ = definition.node.add(name=_EXIT, op="Identity", input=[frozen.outputs[0].name])
    exit_.attr["T"].type = frozen.outputs[0].dtype.as_datatype_enum
    file.write_bytes(_simplified(definition).SerializeToString())


def _simplified(definition: Any) -> Any:
    """The GraphDef after Grappler, TensorFlow's optimizer, which keeps the nodes of these two names."""
    graph = tf.Graph()
    with graph.as_default():
        tf.graph_util.import_graph_def(definition, name="")
    whole = tf.compat.v1.train.export_meta_graph(graph_def=definition, graph=graph)
    whole.collection_def["train_op"].node_list.value.extend([_ENTRY, _EXIT])
    config = config_pb2.ConfigProto()
    config.graph_options.rewrite_options.min_graph_nodes = -1  # optimize small graphs, too
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


def _without_optimizer() -> Any:
    """The process's settings of threads and devices, without another optimization of the graph."""
    config = config_pb2.ConfigProto()
    config.CopyFrom(context.context().config)
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    config.graph_options.optimizer_options.opt_level = config_pb2.OptimizerOptions.L0
    return config
