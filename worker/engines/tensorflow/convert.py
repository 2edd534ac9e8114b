"""A model that TensorFlow has loaded -> files that other engines read, with the preparation of pixels inside.

They hold the very function that the reference computes: uint8 images [n, height, width, 3] in, scores out.
"""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from worker.engines.adapter import first_line
from worker.engines.tensorflow import optimized_graph
from worker.engines.tensorflow.engine import TensorFlowEngine
from worker.errors import ModelError

_OPSET = 18
"""Of ONNX: read by every ONNX Runtime since 1.14, and the newest that tf2onnx writes."""


def write_graph(engine: TensorFlowEngine, file: Path) -> None:
    """Write a frozen GraphDef. Raises ModelError where variables cannot become constants."""
    file.write_bytes(_frozen(engine).graph.as_graph_def().SerializeToString())


def write_session(engine: TensorFlowEngine, file: Path) -> None:
    """Write what TensorFlow itself loads again in a moment. Raises ModelError where that cannot be made."""
    if engine.device != "cpu":
        raise ModelError("What is kept is made for processors only; on a GPU the model's own files are loaded.")
    frozen = _frozen(engine)
    try:
        optimized_graph.write(frozen, file)
    except Exception as error:  # its optimizer raises whatever meets an operation that it does not know
        raise ModelError(f"TensorFlow cannot simplify it: {first_line(error)}") from error


def write_onnx(engine: TensorFlowEngine, file: Path) -> None:
    """Write an .onnx file. Raises ModelError where tf2onnx is missing, or cannot."""
    if importlib.util.find_spec("tf2onnx") is None:
        raise ModelError("Converting to ONNX needs tf2onnx: pip install 'p2p-serving[onnx]'.")
    import tf2onnx

    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)  # what it cannot do is the error below, or the check's
    frozen = _frozen(engine)
    (entry,), (exit_,) = frozen.inputs, frozen.outputs
    try:
        proto, _ = tf2onnx.convert.from_graph_def(
            frozen.graph.as_graph_def(), input_names=[entry.name], output_names=[exit_.name], opset=_OPSET
        )
    except Exception as error:  # it raises whatever meets an operation that it does not know
        raise ModelError(f"tf2onnx cannot convert it: {first_line(error)}") from error
    file.write_bytes(proto.SerializeToString())


def _frozen(engine: TensorFlowEngine) -> Any:
    try:
        return convert_variables_to_constants_v2(engine.whole)
    except (tf.errors.OpError, ValueError, RuntimeError, KeyError) as error:
        raise ModelError(f"TensorFlow cannot make constants of its variables: {first_line(error)}") from error
