"""The restricted unpickler reads a checkpoint's weights and can be made to do nothing else."""

from __future__ import annotations

import os
import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.default_model.torch_checkpoint import read_checkpoint
from worker.errors import ModelError

MAGIC, PROTOCOL, FACTS = 0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}


def named(module: str, name: str) -> bytes:
    """The pickle opcode that asks for a name."""
    return f"c{module}\n{name}\n".encode()


def tensor(key: str, count: int, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0) -> bytes:
    """Opcodes that build a tensor as PyTorch writes it."""
    storage = b"(" + text("storage") + named("torch", "FloatStorage") + text(key) + text("cpu") + number(count) + b"NtQ"
    numbers = b"".join(b"(" + b"".join(map(number, numbers)) + b"t" for numbers in (shape, strides))
    return (
        named("torch._utils", "_rebuild_tensor_v2")
        + b"("
        + storage
        + number(offset)
        + numbers
        + b"I00\n"
        + named("collections", "OrderedDict")
        + b"(tR"
        + b"tR"
    )


def text(word: str) -> bytes:
    return b"X" + struct.pack("<I", len(word.encode())) + word.encode()


def number(value: int) -> bytes:
    return f"L{value}L\n".encode()


def checkpoint(tensors: dict[str, bytes], storages: dict[str, list[float]], *, state: bytes | None = None) -> bytes:
    """A whole file: the pickles, then the storages."""
    items = b"".join(text(name) + opcodes for name, opcodes in tensors.items())
    state = state or named("collections", "OrderedDict") + b"(tR(" + items + b"u."
    head = [pickle.dumps(part, protocol=2) for part in (MAGIC, PROTOCOL, FACTS)]
    numbers = [struct.pack(f"<q{len(v)}f", len(v), *v) for v in storages.values()]
    return b"".join([*head, state, pickle.dumps(list(storages), protocol=2), *numbers])


def test_tensors_come_back() -> None:
    """Plain, transposed, offset and scalar tensors have their shapes and numbers."""
    values = [float(n) for n in range(6)]
    found = read_checkpoint(
        checkpoint(
            {
                "plain": tensor("a", 6, (2, 3), (3, 1)),
                "transposed": tensor("a", 6, (3, 2), (1, 3)),
                "offset": tensor("a", 6, (2,), (1,), offset=4),
                "scalar": tensor("b", 1, (), ()),
            },
            {"a": values, "b": [7.0]},
        )
    )
    plain = np.array(values, np.float32).reshape(2, 3)
    assert (found["plain"] == plain).all()
    assert (found["transposed"] == plain.T).all()
    assert found["offset"].tolist() == [4, 5]
    assert found["scalar"] == 7


class Evil:
    """What a pickle of this runs when it is read."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.marker),)


def test_no_code_of_the_file_runs(tmp_path: Path) -> None:
    """A pickle that would call a function is refused, and the function is not called."""
    evil = pickle.dumps(OrderedDict(weights=Evil(tmp_path / "made")), protocol=2)
    with pytest.raises(ModelError, match=r"it names posix\.mkdir"):
        read_checkpoint(checkpoint({}, {}, state=evil))
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("name", ["torch DoubleStorage", "builtins eval", "collections deque", "torch._utils x"])
def test_only_four_names_are_known(name: str) -> None:
    """Any other name is refused, even of the same modules."""
    module, item = name.split()
    with pytest.raises(ModelError, match=f"it names {module}"):
        read_checkpoint(checkpoint({}, {}, state=named(module, item) + b"."))


@pytest.mark.parametrize(
    "opcodes",
    [
        tensor("a", 6, (2, 3), (3, 2)),
        tensor("a", 6, (7,), (1,)),
        tensor("a", 6, (2,), (1,), offset=5),
        tensor("a", 6, (2,), (1,), offset=-1),
        tensor("a", 6, (2, 3), (3, -1)),
        tensor("a", 6, (2, 3), (3,)),
        tensor("a", 6, (1 << 40,), (0,)),
        tensor("a", 7, (2,), (1,)),
        tensor("b", 6, (2,), (1,)),
    ],
    ids=["strides", "shape", "offset", "negative offset", "negative stride", "rank", "huge", "count", "key"],
)
def test_tensors_stay_inside_their_storage(opcodes: bytes) -> None:
    """Shapes, strides, offsets and counts that reach outside are refused before memory is touched."""
    with pytest.raises(ModelError):
        read_checkpoint(checkpoint({"x": opcodes}, {"a": [0.0] * 6}))


def test_a_storage_that_promises_more_than_the_file_holds_is_refused() -> None:
    """A count of a billion in a small file takes no memory."""
    whole = checkpoint({"x": tensor("a", 1 << 40, (2,), (1,))}, {"a": []})
    with pytest.raises(ModelError, match="storage a has"):
        read_checkpoint(whole[:-8] + struct.pack("<q", 1 << 40))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damage_is_an_error_of_ours(data: st.DataObject) -> None:
    """A file that is cut or changed anywhere is read or refused with ModelError, nothing else."""
    content = bytearray(checkpoint({"x": tensor("a", 6, (2, 3), (3, 1))}, {"a": [0.0] * 6}))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    del content[data.draw(st.integers(1, len(content))) :]
    try:
        found = read_checkpoint(bytes(content))
    except ModelError:
        return
    assert all(array.size <= 6 for array in found.values())
