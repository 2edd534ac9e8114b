"""The bytes of an .onnx file -> its inputs and outputs. Pure. Message layouts: onnx/onnx.proto."""

from __future__ import annotations

from worker.artifacts.safety.protobuf import all_of, numbers, texts
from worker.artifacts.signatures.tensor_shapes import Entry

_GRAPH, _INITIALIZER, _INPUT, _OUTPUT = 7, 5, 11, 12
_INT64, _STRING = 7, 8


def entries_of(model: memoryview) -> tuple[list[Entry], list[Entry]]:
    """Inputs and outputs; inputs that have initial values are weights. Raises Damaged."""
    inputs: list[Entry] = []
    outputs: list[Entry] = []
    for graph in all_of(model, _GRAPH):
        weights = {name for tensor in all_of(graph, _INITIALIZER) for name in texts(tensor, 8)[:1]}
        inputs += [entry for entry in map(_entry, all_of(graph, _INPUT)) if entry.name not in weights]
        outputs += map(_entry, all_of(graph, _OUTPUT))
    return inputs, outputs


def _entry(value: memoryview) -> Entry:
    """A ValueInfoProto; an int64 or a text is a label, and no score."""
    name = next(iter(texts(value, 1)), "")
    tensor = next(all_of(value, 2, 1), None)
    if tensor is None:  # a sequence of maps from label to score
        return Entry(name, None)
    kind = next(iter(numbers(tensor, 1)), 0)
    shape = next(all_of(tensor, 2), None)
    rank = None if shape is None else sum(1 for _ in all_of(shape, 1))
    return Entry(name, rank, scores=kind not in (_INT64, _STRING))
