"""A model that TensorFlow has loaded -> files for other engines, with the preparation of pixels inside.

Each file contains the same function that the reference computes: uint8 images [n, height, width, 3] in, scores out.
"""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path

from worker.engines.adapter import first_line
from worker.engines.tensorflow import optimized_graph
from worker.engines.tensorflow.engine import TensorFlowEngine
from worker.engines.tensorflow.program import frozen_function
from worker.errors import ModelError

_OPSET = 18
"""ONNX's version of operations: every ONNX Runtime since 1.14 reads it, and tf2onnx writes no newer one."""


def write_graph(engine: TensorFlowEngine, file: Path) -> None:
    """Write a frozen GraphDef. Raises ModelError if variables cannot become constants."""
    file.write_bytes(frozen_function(engine.function).graph.as_graph_def().SerializeToString())


def write_session(engine: TensorFlowEngine, file: Path) -> None:
    """Write a file that TensorFlow itself loads quickly. Raises ModelError if it cannot be made."""
    if engine.device != "cpu":
        raise ModelError("What is kept is made for processors only; on a GPU the model's own files are loaded.")
    frozen = frozen_function(engine.function)
    try:
        optimized_graph.write(frozen, file)
    except Exception as error:  # an operation that the optimizer does not know may raise anything
        raise ModelError(f"TensorFlow cannot simplify it: {first_line(error)}") from error


def write_onnx(engine: TensorFlowEngine, file: Path) -> None:
    """Write an .onnx file. Raises ModelError if tf2onnx is missing or cannot convert the model."""
    if importlib.util.find_spec("tf2onnx") is None:
        raise ModelError("Converting to ONNX needs tf2onnx: pip install 'p2p-serving[onnx]'.")
    import tf2onnx

    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)  # failures show in the error below or in the comparison
    frozen = frozen_function(engine.function)
    (entry,), (exit_,) = frozen.inputs, frozen.outputs
    try:
        proto, _ = tf2onnx.convert.from_graph_def(
            frozen.graph.as_graph_def(), input_names=[entry.name], output_names=[exit_.name], opset=_OPSET
        )
    except Exception as error:  # an operation that tf2onnx does not know may raise anything
        raise ModelError(f"tf2onnx cannot convert it: {first_line(error)}") from error
    file.write_bytes(proto.SerializeToString())
