"""The operations of a frozen graph between its input and its first real layer, which tell the range of its pixels."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from worker.engines.model_io.input_plan import Scaling
from worker.engines.model_io.pixel_range import measured_range

_PASSING = frozenset(
    (
        *("Identity", "Cast", "ExpandDims", "Squeeze", "Reshape", "Transpose", "ReverseV2", "StridedSlice"),
        *("Pad", "PadV2", "MirrorPad", "StopGradient", "PlaceholderWithDefault"),
        *("ResizeBilinear", "ResizeBicubic", "ResizeNearestNeighbor"),
        *("Pack", "Unpack", "Split", "SplitV", "ConcatV2"),
        *("Mul", "Sub", "Add", "AddV2", "Div", "RealDiv", "BiasAdd"),
        *("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"),
    )
)
"""Operations that move or scale each pixel independently."""


def detect_scaling(frozen: Any, input_name: str) -> Scaling | None:
    """Mean and std to prepare pixels with, if the graph scales its input itself; None if it does not.

    `frozen` is a graph without variables, `input_name` its placeholder's name.
    """
    graph = tf.Graph()
    with graph.as_default():
        tf.graph_util.import_graph_def(frozen.as_graph_def(), name="")
    start = graph.get_tensor_by_name(f"{input_name}:0")
    end = _last_passing(start)
    with tf.compat.v1.Session(graph=graph) as session:
        return measured_range(lambda values: session.run(end, {start: values}), start.shape.as_list())


def _last_passing(start: Any) -> Any:
    """Follow the input through all passing operations, to the tensor that the first other operation takes."""
    reached, waiting = {start.name}, [start]
    for tensor in waiting:
        for op in tensor.consumers():
            if op.type not in _PASSING and op.type != "Shape":
                return tensor
            new = [out for out in op.outputs if op.type in _PASSING and out.name not in reached]
            reached.update(out.name for out in new)
            waiting.extend(new)
    return start
