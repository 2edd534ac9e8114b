"""An .onnx file -> its first step, run on zeros and on ones: see `worker.engines.pixel_range`.

The step is cut out with the package onnx, which `p2p-serving[onnx]` brings; without it nothing is found.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from worker.engines.input_plan import Scaling
from worker.engines.pixel_range import pixel_range

_PASSING = frozenset(
    (
        *("Identity", "Cast", "Transpose", "Unsqueeze", "Squeeze", "Reshape", "Pad", "Resize", "Upsample"),
        *("Mul", "Sub", "Add", "Div", "BatchNormalization", "Gather", "Slice", "Split", "Concat"),
    )
)
"""Operations that move or scale pixels, each by itself."""

_ANY = 224  # the length of a dimension that may have any


def own_scaling(path: Path | None, entry: str) -> Scaling | None:
    """Mean and std to prepare pixels with, where the model scales its input `entry` by itself; None where not."""
    if path is None or importlib.util.find_spec("onnx") is None:
        return None
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    step = _first_step(model, entry)
    if step is None:
        return None
    nodes, end = step
    (given,) = (value for value in model.graph.input if value.name == entry)
    out = onnx.helper.make_empty_tensor_value_info(end)
    needed = {name for node in nodes for name in node.input}
    constants = [tensor for tensor in model.graph.initializer if tensor.name in needed]
    graph = onnx.helper.make_graph(nodes, "first-step", [given], [out], constants)
    cut = onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    onnx.external_data_helper.load_external_data_for_model(cut, str(path.parent))
    return pixel_range(*_measure(cut.SerializeToString(), given))


def _first_step(model: Any, entry: str) -> tuple[list[Any], str] | None:
    """The nodes that only move or scale what comes in, with their constants, and the name of the last one's output.

    None if the input goes to a real layer at once.
    """
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
    return (nodes, end) if nodes else None


def _measure(model: bytes, given: Any) -> tuple[float, float]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    dims = given.type.tensor_type.shape.dim
    shape = [dim.dim_value or (1 if axis == 0 else _ANY) for axis, dim in enumerate(dims)]
    dtype = np.float16 if session.get_inputs()[0].type == "tensor(float16)" else np.float32
    offset = session.run(None, {given.name: np.zeros(shape, dtype)})[0].mean()
    once = session.run(None, {given.name: np.ones(shape, dtype)})[0].mean()
    return float(once) - float(offset), float(offset)
