"""The bytes of a .tflite file -> its inputs and outputs. Pure. Tables: TensorFlow Lite's schema.fbs."""

from __future__ import annotations

from worker.artifacts.signatures.flatbuffer import Table, root_of
from worker.artifacts.signatures.tensor_shapes import Entry

_KIND = b"TFL3"
_GRAPHS, _SIGNATURES = 2, 7
_TENSORS, _INPUTS, _OUTPUTS = 0, 1, 2
_SHAPE, _NAME = 0, 3
_SIGNATURE_INPUTS, _SIGNATURE_OUTPUTS, _SIGNATURE_GRAPH = 0, 1, 4
_MAP_NAME, _MAP_TENSOR = 0, 1


def entries_of(model: memoryview) -> tuple[list[Entry], list[Entry]]:
    """Inputs and outputs of the first graph, the one that is run. Raises Damaged."""
    graph = root_of(model, _KIND).table(_GRAPHS, 0)
    inputs, outputs = (
        [_entry(graph.table(_TENSORS, number)) for number in graph.whole_numbers(field)]
        for field in (_INPUTS, _OUTPUTS)
    )
    return inputs, outputs


def signature_names(model: memoryview) -> tuple[dict[str, str], dict[str, str]]:
    """The signature's names for the inputs and for the outputs of the first graph, by the names of their tensors.

    Empty for a file without a signature. Raises Damaged.
    """
    root = root_of(model, _KIND)
    graph = root.table(_GRAPHS, 0)
    signature = next((each for each in root.tables(_SIGNATURES) if each.whole_number(_SIGNATURE_GRAPH) == 0), None)
    if signature is None:
        return {}, {}
    inputs, outputs = (
        {
            graph.table(_TENSORS, entry.whole_number(_MAP_TENSOR)).text(_NAME): entry.text(_MAP_NAME)
            for entry in signature.tables(field)
        }
        for field in (_SIGNATURE_INPUTS, _SIGNATURE_OUTPUTS)
    )
    return inputs, outputs


def _entry(tensor: Table) -> Entry:
    """A tensor without lengths is a single value, or has any rank."""
    return Entry(tensor.text(_NAME), len(tensor.whole_numbers(_SHAPE)) or None)
