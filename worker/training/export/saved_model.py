"""A frozen network and a head -> a SavedModel that contains all that happens after decoding; without TensorFlow.

The SavedModel has one frozen graph and one signature, as TensorFlow 1 writes them: there are no variables to restore.
Message layouts: tensorflow/core/framework/{graph,node_def,attr_value,tensor,tensor_shape}.proto and
tensorflow/core/protobuf/{saved_model,meta_graph}.proto.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worker.artifacts.safety.protobuf import all_of, text, texts
from worker.training.export.messages import field, map_field
from worker.training.features.network import Network
from worker.training.heads.head import Head

_FLOAT, _UINT8 = 1, 4  # DataType
_NODE, _LIBRARY, _VERSIONS = 1, 2, 4  # GraphDef
_NAME, _OP, _INPUT, _ATTRIBUTES = 1, 2, 3, 5  # NodeDef
_WHOLE, _TRUTH, _TYPE, _TENSOR = 3, 5, 6, 8  # AttrValue

IMAGES, PROBABILITIES = "images", "probabilities"
"""The input of the signature, uint8 [n, edge, edge, 3], and its output, float32 [n, labels]."""

_FLOATS = {"T": field(_TYPE, _FLOAT)}


def write_saved_model(folder: Path, network: Network, head: Head) -> None:
    """Write a SavedModel: `serving_default` takes `images`, uint8, and gives `probabilities`."""
    content = memoryview(network.graph.read_bytes())
    wanted = [layer.tensor for layer in head.layers]
    nodes = [*_needed(content, wanted), *_head_nodes(wanted, head)]
    rest = [field(number, bytes(part)) for number in (_LIBRARY, _VERSIONS) for part in all_of(content, number)]
    graph = b"".join([*(field(_NODE, node) for node in nodes), *rest])
    signature = (
        map_field(1, {IMAGES: _tensor_info(IMAGES, _UINT8, (-1, network.edge, network.edge, 3))})
        + map_field(2, {PROBABILITIES: _tensor_info(PROBABILITIES, _FLOAT, (-1, len(head.bias)))})
        + field(3, "tensorflow/serving/predict")
    )
    meta_graph = field(1, field(4, "serve")) + field(2, graph) + map_field(5, {"serving_default": signature})
    (folder / "saved_model.pb").write_bytes(field(1, 1) + field(2, meta_graph))


def _needed(graph: memoryview, tensors: Sequence[str]) -> list[bytes]:
    """The nodes of a graph that these tensors come from, in the graph's order."""
    nodes = {text(next(all_of(node, _NAME))): node for node in all_of(graph, _NODE)}
    waiting, kept = [_node_of(tensor) for tensor in tensors], set[str]()
    while waiting:
        name = waiting.pop()
        if name not in kept:
            kept.add(name)
            waiting += [_node_of(tensor) for tensor in texts(nodes[name], _INPUT)]
    return [bytes(node) for name, node in nodes.items() if name in kept]


def _node_of(tensor: str) -> str:
    """The node that a tensor comes from; `^` marks one that only has to run before."""
    return tensor.removeprefix("^").partition(":")[0]


def _head_nodes(tensors: Sequence[str], head: Head) -> list[bytes]:
    """softmax(sum over layers of (layer @ kernel) + bias)."""
    nodes = [_constant("head/bias", head.bias)]
    straight = {"transpose_a": field(_TRUTH, 0), "transpose_b": field(_TRUTH, 0)}
    products = []
    for number, (tensor, kernel) in enumerate(zip(tensors, head.kernels, strict=True)):
        kernel_name, product = f"head/kernel_{number}", f"head/product_{number}"
        nodes += [_constant(kernel_name, kernel), _node(product, "MatMul", [tensor, kernel_name], straight | _FLOATS)]
        products.append(product)
    count = {"N": field(_WHOLE, len(products))}
    return [
        *nodes,
        _node("head/sum", "AddN", products, count | _FLOATS),
        _node("head/logits", "AddV2", ["head/sum", "head/bias"], _FLOATS),
        _node(PROBABILITIES, "Softmax", ["head/logits"], _FLOATS),
    ]


def _node(name: str, operation: str, inputs: Sequence[str], attributes: Mapping[str, bytes]) -> bytes:
    entries = b"".join(field(_INPUT, each) for each in inputs)
    return field(_NAME, name) + field(_OP, operation) + entries + map_field(_ATTRIBUTES, attributes)


def _constant(name: str, values: NDArray[np.float32]) -> bytes:
    content = np.ascontiguousarray(values, "<f4").tobytes()
    tensor = field(1, _FLOAT) + field(2, _shape(values.shape)) + field(4, content)
    return _node(name, "Const", [], {"dtype": field(_TYPE, _FLOAT), "value": field(_TENSOR, tensor)})


def _tensor_info(name: str, kind: int, shape: Sequence[int]) -> bytes:
    return field(1, f"{name}:0") + field(2, kind) + field(3, _shape(shape))


def _shape(sizes: Sequence[int]) -> bytes:
    return b"".join(field(2, field(1, size)) for size in sizes)
