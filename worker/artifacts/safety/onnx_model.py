"""The bytes of an .onnx file -> the files that its weights are read from. Pure.

ONNX has no operation that reaches outside the model, and operations of other domains need a library that nobody loads
here. But a tensor may name any file as the place of its values. Message layouts: onnx/onnx.proto.
"""

from __future__ import annotations

from collections.abc import Iterator

from worker.artifacts.safety.protobuf import all_of, fields, texts

_GRAPH, _TRAINING, _FUNCTIONS = 7, 20, 25
_TENSORS = ((5,), (15, 1), (15, 2))  # of a graph: initializers, values and indices of sparse ones
_ATTRIBUTE_TENSORS = ((5,), (10,), (22, 1), (22, 2), (23, 1), (23, 2))


def external_files(model: memoryview) -> list[str]:
    """The location that each tensor outside the file names, as it is written there. Raises Damaged."""
    graphs = [graph for path in ((_GRAPH,), (_TRAINING, 1), (_TRAINING, 2)) for graph in all_of(model, *path)]
    bodies = list(all_of(model, _FUNCTIONS))
    tensors = [*(t for graph in graphs for t in _of_graph(graph)), *(t for body in bodies for t in _of_nodes(body, 7))]
    return sorted({place for tensor in tensors for place in _locations(tensor)})


def _of_graph(graph: memoryview) -> Iterator[memoryview]:
    for path in _TENSORS:
        yield from all_of(graph, *path)
    yield from _of_nodes(graph, 1)


def _of_nodes(owner: memoryview, number: int) -> Iterator[memoryview]:
    """The tensors in the attributes of nodes, and in the graphs there."""
    attributes = [a for node in all_of(owner, number) for a in all_of(node, 5)]
    for attribute in [*attributes, *all_of(owner, 11)] if number == 7 else attributes:
        for path in _ATTRIBUTE_TENSORS:
            yield from all_of(attribute, *path)
        for field, graph in fields(attribute):
            if field in (6, 11):
                yield from _of_graph(graph)


def _locations(tensor: memoryview) -> Iterator[str]:
    for entry in all_of(tensor, 13):
        if "location" in texts(entry, 1):
            yield from texts(entry, 2)
