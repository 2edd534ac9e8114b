"""A frozen graph of TensorFlow -> its first step, run on zeros and on ones: see `worker.engines.pixel_range`."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from worker.engines.input_plan import Scaling
from worker.engines.pixel_range import pixel_range
from worker.engines.tensorflow.program import ANY_EDGE

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
"""Operations that move or scale pixels, each by itself."""


def own_scaling(frozen: Any, input_name: str) -> Scaling | None:
    """Mean and std to prepare pixels with, where the graph scales its input by itself; None where it does not.

    `frozen` is a graph without variables, `input_name` its placeholder's name.
    """
    graph = tf.Graph()
    with graph.as_default():
        tf.graph_util.import_graph_def(frozen.as_graph_def(), name="")
    start = graph.get_tensor_by_name(f"{input_name}:0")
    gain, offset = _measure(graph, start, _last_passing(start))
    return pixel_range(gain, offset)


def _last_passing(start: Any) -> Any:
    """Follow the input forward through all passing operations, to the tensor that the first other one takes."""
    reached, waiting = {start.name}, [start]
    for tensor in waiting:
        for op in tensor.consumers():
            if op.type not in _PASSING and op.type != "Shape":
                return tensor
            new = [out for out in op.outputs if op.type in _PASSING and out.name not in reached]
            reached.update(out.name for out in new)
            waiting.extend(new)
    return start


def _measure(graph: Any, start: Any, end: Any) -> tuple[float, float]:
    shape = [size or (1 if axis == 0 else ANY_EDGE) for axis, size in enumerate(start.shape)]
    with tf.compat.v1.Session(graph=graph) as session:
        offset = session.run(end, {start: np.zeros(shape)}).mean()
        once = session.run(end, {start: np.ones(shape)}).mean()
    return float(once - offset), float(offset)
