"""A graph from TensorFlow's first year -> the same graph in operations that are still there.

The Inception graph that the article's retrain.py downloads (December 2015, GraphDef version 8) normalizes
with an operation that was removed in version 9. TensorFlow runs it in a session still, but in no function.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

_OLD_NORM = "BatchNormWithGlobalNormalization"


def modernized(definition: Any) -> Any:
    """The GraphDef with every removed normalization replaced by FusedBatchNorm, which computes the same."""
    result = tf.compat.v1.GraphDef()
    result.CopyFrom(definition)
    for node in [node for node in result.node if node.op == _OLD_NORM]:
        _replace(result, node)
    return result


def _replace(graph: Any, node: Any) -> None:
    """(x - mean) / sqrt(variance + epsilon) * gamma + beta, where gamma may be told not to count."""
    x, mean, variance, beta, gamma = node.input
    epsilon = node.attr["variance_epsilon"].f
    if not node.attr["scale_after_normalization"].b:
        ones = graph.node.add(name=f"{node.name}/ones", op="OnesLike", input=[gamma])
        ones.attr["T"].type = tf.float32.as_datatype_enum
        gamma = ones.name
    node.op = "FusedBatchNorm"
    node.input[:] = [x, gamma, beta, mean, variance]
    del node.attr["variance_epsilon"], node.attr["scale_after_normalization"]
    node.attr["epsilon"].f = epsilon
    node.attr["is_training"].b = False
