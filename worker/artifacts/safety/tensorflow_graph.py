"""The bytes of a SavedModel or a frozen graph -> an operation in it that reaches outside the model, or None. Pure.

A TensorFlow graph is a program: its operations read and write files, speak to other machines and call Python. None of
them has a place in a classifier. Every SavedModel contains operations that save and restore its variables; these may be
there, but neither a signature nor an initializer may use them. Message layouts: tensorflow/core/protobuf/
saved_model.proto, meta_graph.proto and tensorflow/core/framework/graph.proto, function.proto, attr_value.proto.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from worker.artifacts.safety.protobuf import all_of, map_entries, text, texts

_OUTSIDE = re.compile(
    "|".join(
        (
            # files, and what is read from them
            r"\w*(ReadFile|WriteFile|MatchingFiles)\w*|\w*Reader\w*|RecordInput|ImmutableConst|LoadAndRemapMatrix",
            r"\w*Dataset\w*|\w*Iterator\w*|GenerateVocabRemapping|Initialize\w*FromTextFile\w*|Skipgram|FixedUnigram\w*",
            r"\w*Summary\w*|ImportEvent|DumpTensor|Debug\w+|CustomAggregator|CalibrationStatisticsSaver|DistributedSave",
            r"FileSystemSetConfiguration|DecodeProto\w*|EncodeProto|DTensorRestore\w*",
            # code that is not the graph's
            r"\w*PyFunc\w*|_?Xla\w+|Mlir\w+|\w*TPU\w*|Abort",
            # other machines and processes
            r"Rpc\w*|DeleteRpc\w*|RemoteCall|Collective\w+|_?Nccl\w+|_?(Host)?(Send|Recv)|WorkerHeartbeat|\w*Distributed\w*",
        )
    )
)
_CHECKPOINT = re.compile(r"Save(V2|Slices)?|Restore(V2|Slice)?|MergeV2Checkpoints|Sharded(Filename|Filespec)")
_WRITES_CHECKPOINT = re.compile(r"Save(V2|Slices)?|MergeV2Checkpoints")
_PRINTS_TO_FILE = "file://"


@dataclass(frozen=True, slots=True)
class _Node:
    """One operation: its name, type, the nodes that it takes values from, and the functions that it may call."""

    name: str
    op: str
    inputs: tuple[str, ...]
    calls: tuple[str, ...]
    to_file: bool

    @property
    def label(self) -> str:
        """The operation as a sentence names it."""
        return f"the operation {self.op} ({self.name})"


class _Graph:
    """A GraphDef: its own nodes by name, and those of each function of its library."""

    def __init__(self, definition: memoryview) -> None:
        self.nodes: dict[str, list[_Node]] = {}
        for node in map(_node, all_of(definition, 1)):
            self.nodes.setdefault(node.name, []).append(node)
        self.functions: dict[str, list[_Node]] = {}
        for function in all_of(definition, 2, 1):
            for name in texts(function, 1, 1):
                self.functions.setdefault(name, []).extend(map(_node, all_of(function, 3)))

    def all_nodes(self) -> Iterator[_Node]:
        """Every node of the graph and of its functions."""
        for nodes in (*self.nodes.values(), *self.functions.values()):
            yield from nodes

    def used_by(self, names: Iterable[str], functions: Iterable[str] = ()) -> Iterator[_Node]:
        """The nodes that these nodes, and the functions of these names, need or call."""
        waiting = [node for name in names for node in self.nodes.get(_bare(name), ())]
        seen = {node.name for node in waiting}
        called = list(functions)
        reached = set(called)
        waiting += [node for name in called for node in self.functions.get(name, ())]
        while waiting:
            node = waiting.pop()
            yield node
            for name in {node.op, *node.calls} - reached:
                reached.add(name)
                waiting += self.functions.get(name, ())
            for name in {_bare(each) for each in node.inputs} - seen:
                seen.add(name)
                waiting += self.nodes.get(name, ())


def unsafe_in_graph(definition: memoryview) -> str | None:
    """The first operation of a frozen GraphDef that reaches outside. Raises Damaged."""
    return next((node.label for node in _Graph(definition).all_nodes() if _outside(node) or _checkpoint(node)), None)


def unsafe_in_saved_model(model: memoryview) -> str | None:
    """The first operation of a SavedModel's bytes that reaches outside. Raises Damaged."""
    return next((found for meta in all_of(model, 2) if (found := _unsafe_in_meta_graph(meta))), None)


def _unsafe_in_meta_graph(meta: memoryview) -> str | None:
    collections = [name for _, value in map_entries(meta, 4) for name in texts(value, 1, 1)]
    functions = [name for objects in all_of(meta, 7) for name, _ in map_entries(objects, 2)]
    for graph in map(_Graph, all_of(meta, 2)):
        used = graph.used_by([*_signature_tensors(meta), *collections], functions)
        restoring = graph.used_by(texts(meta, 3, 3))
        found = [
            *(node for node in graph.all_nodes() if _outside(node)),
            *(node for node in used if _checkpoint(node)),
            *(node for node in restoring if _WRITES_CHECKPOINT.fullmatch(node.op)),
        ]
        if found:
            return found[0].label
    return None


def _signature_tensors(meta: memoryview) -> Iterator[str]:
    """The tensors that signatures take and give; an initializer is such a signature, too."""
    for _, signature in map_entries(meta, 5):
        for number in (1, 2):
            for _, tensor in map_entries(signature, number):
                yield from texts(tensor, 1)
                yield from (name for part in (1, 2, 3) for name in texts(tensor, 4, part))
                yield from (name for inner in all_of(tensor, 5, 2) for name in texts(inner, 1))


def _node(definition: memoryview) -> _Node:
    attributes = list(map_entries(definition, 5))
    return _Node(
        name=" ".join(texts(definition, 1)),
        op=" ".join(texts(definition, 2)),
        inputs=tuple(texts(definition, 3)),
        calls=tuple(name for _, value in attributes for path in ((10, 1), (1, 9, 1)) for name in texts(value, *path)),
        to_file=_prints_to_file(attributes),
    )


def _prints_to_file(attributes: Iterable[tuple[str, memoryview]]) -> bool:
    streams = (text(stream) for key, value in attributes if key == "output_stream" for stream in all_of(value, 2))
    return any(stream.startswith(_PRINTS_TO_FILE) for stream in streams)


def _outside(node: _Node) -> bool:
    return node.to_file or any(_OUTSIDE.fullmatch(op) for op in node.op.split())


def _checkpoint(node: _Node) -> bool:
    return any(_CHECKPOINT.fullmatch(op) for op in node.op.split())


def _bare(tensor: str) -> str:
    """A tensor's or control input's name as the name of its node: `^a` and `a:0` are outputs of `a`."""
    return tensor.removeprefix("^").partition(":")[0]


def reaches_outside(op: str) -> bool:
    """Whether an operation of this type can do more than compute; saving and restoring variables count."""
    return bool(_OUTSIDE.fullmatch(op) or _CHECKPOINT.fullmatch(op))
