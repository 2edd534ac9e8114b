"""The operations of an .onnx file between its input and its first real layer, which tell the range of its pixels.

The package onnx cuts them out; `p2p-serving[onnx]` installs it. Without it nothing is detected.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from worker.engines.model_io.input_plan import Scaling
from worker.engines.model_io.pixel_range import measured_range
from worker.engines.onnx.runtime import onnxruntime

_PASSING = frozenset(
    (
        *("Identity", "Cast", "Transpose", "Unsqueeze", "Squeeze", "Reshape", "Pad", "Resize", "Upsample"),
        *("Mul", "Sub", "Add", "Div", "BatchNormalization", "Gather", "Slice", "Split", "Concat"),
    )
)
"""Operations that move or scale each pixel independently."""


def detect_scaling(path: Path | None, entry: str) -> Scaling | None:
    """Mean and std to prepare pixels with, if the model scales its input `entry` itself; None if it does not."""
    if path is None or importlib.util.find_spec("onnx") is None:
        return None
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    nodes, end = _first_layers(model, entry)
    if not nodes:
        return None
    (given,) = (value for value in model.graph.input if value.name == entry)
    out = onnx.helper.make_empty_tensor_value_info(end)
    needed = {name for node in nodes for name in node.input}
    constants = [tensor for tensor in model.graph.initializer if tensor.name in needed]
    graph = onnx.helper.make_graph(nodes, "first-layers", [given], [out], constants)
    cut = onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    onnx.external_data_helper.load_external_data_for_model(cut, str(path.parent))
    return _measured(cut.SerializeToString(), given)


def _first_layers(model: Any, entry: str) -> tuple[list[Any], str]:
    """The nodes that only move or scale the input, with their constants, and the name of the last one's output."""
    consumers: dict[str, list[Any]] = {}
    makers = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        for name in node.input:
            consumers.setdefault(name, []).append(node)
    nodes: list[Any] = []
    end = entry
    while len(consumers.get(end, [])) == 1 and consumers[end][0].op_type in _PASSING:
        node = consumers[end][0]
        others = [makers[name] for name in node.input if name != end and name in makers]
        if any(other.op_type != "Constant" for other in others) or len(node.output) != 1:
            break
        nodes += [*others, node]
        end = node.output[0]
    return nodes, end


def _measured(model: bytes, given: Any) -> Scaling | None:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    dtype = np.float16 if session.get_inputs()[0].type == "tensor(float16)" else np.float32
    shape = [dim.dim_value or None for dim in given.type.tensor_type.shape.dim]
    return measured_range(lambda values: session.run(None, {given.name: values})[0], shape, dtype)
