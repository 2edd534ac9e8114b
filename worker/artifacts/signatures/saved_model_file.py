"""The bytes of a saved_model.pb -> the inputs and outputs of a signature. Pure.

Message layouts: tensorflow/core/protobuf/meta_graph.proto, framework/tensor_shape.proto, framework/types.proto.
"""

from __future__ import annotations

from worker.artifacts.safety.protobuf import all_of, map_entries, numbers
from worker.artifacts.signatures.tensor_shapes import Entry

_META_GRAPH, _SIGNATURES, _INPUTS, _OUTPUTS = 2, 5, 1, 2
_FLOATS = (1, 2, 14, 19)  # float, double, bfloat16, half
_STRING = 7
_DEFAULT = "serving_default"
_INTERNAL = "__saved_model"  # signatures of TensorFlow's own


def entries_of(model: memoryview, signature: str | None) -> tuple[list[Entry], list[Entry]]:
    """Inputs and outputs of `signature`, or of the default or only one; none if there is none. Raises Damaged."""
    found = {
        name: definition
        for graph in all_of(model, _META_GRAPH)
        for name, definition in map_entries(graph, _SIGNATURES)
        if not name.startswith(_INTERNAL)
    }
    only = next(iter(found)) if len(found) == 1 else None
    name = signature or (_DEFAULT if _DEFAULT in found else only)
    if name is None or name not in found:
        return [], []
    return _entries(found[name], _INPUTS), _entries(found[name], _OUTPUTS)


def _entries(signature: memoryview, number: int) -> list[Entry]:
    return [_entry(name, tensor) for name, tensor in map_entries(signature, number)]


def _entry(name: str, tensor: memoryview) -> Entry:
    kind = next(iter(numbers(tensor, 2)), 0)
    shape = next(all_of(tensor, 3), None)
    known = shape is not None and not any(numbers(shape, 3))
    rank = sum(1 for _ in all_of(shape, 2)) if known and shape is not None else None
    return Entry(name, rank, scores=kind in _FLOATS, encoded=kind == _STRING)
