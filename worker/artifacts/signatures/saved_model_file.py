"""The bytes of a saved_model.pb -> the inputs and outputs of a signature. Pure.

Message layouts: tensorflow/core/protobuf/meta_graph.proto, framework/tensor_shape.proto, framework/types.proto.
"""

from __future__ import annotations

import re
from dataclasses import replace

from worker.artifacts.safety.protobuf import all_of, map_entries, numbers, texts
from worker.artifacts.signatures.tensor_shapes import Entry

_META_GRAPH, _SIGNATURES, _INPUTS, _OUTPUTS = 2, 5, 1, 2
_FLOATS = (1, 2, 14, 19)  # float, double, bfloat16, half
_STRING = 7
_DEFAULT = "serving_default"
_INTERNAL = "__saved_model"  # signatures of TensorFlow's own
_OPERATIONS = ((2, 2, 1, 2), (2, 2, 2, 1, 3, 2))
"""The paths to the types of all operations: of the graph's nodes, and of those in its functions."""
_MORE_THAN_TEXT = re.compile(r"Decode\w+|Parse\w*Example\w*|\w*PyFunc\w*")
"""Operations for which a text may be an image file or a message: without one of them it is nothing but a text."""


def entries_of(model: memoryview, signature: str | None) -> tuple[list[Entry], list[Entry]]:
    """Inputs and outputs of `signature`, or of the default or only one; none if there is none. Raises Damaged.

    Texts that go into a model are image files only where it has an operation that can decode them.
    """
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
    inputs, outputs = _entries(found[name], _INPUTS), _entries(found[name], _OUTPUTS)
    if any(entry.encoded for entry in inputs) and not _decodes(model):
        inputs = [replace(entry, encoded=False) for entry in inputs]
    return inputs, outputs


def _decodes(model: memoryview) -> bool:
    return any(_MORE_THAN_TEXT.fullmatch(kind) for path in _OPERATIONS for kind in texts(model, *path))


def _entries(signature: memoryview, number: int) -> list[Entry]:
    return [_entry(name, tensor) for name, tensor in map_entries(signature, number)]


def _entry(name: str, tensor: memoryview) -> Entry:
    kind = next(iter(numbers(tensor, 2)), 0)
    shape = next(all_of(tensor, 3), None)
    known = shape is not None and not any(numbers(shape, 3))
    rank = sum(1 for _ in all_of(shape, 2)) if known and shape is not None else None
    return Entry(name, rank, scores=kind in _FLOATS, encoded=kind == _STRING)
