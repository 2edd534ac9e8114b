"""Fields of a flatbuffer are found, and damaged bytes are told from one."""

from __future__ import annotations

import contextlib

import flatbuffers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.artifacts.damaged import Damaged
from worker.artifacts.signatures.flatbuffer import root_of


def written() -> bytes:
    """A table: a text "abc", the numbers 5 and -7, two tables with one number each, the number 9, nothing."""
    builder = flatbuffers.Builder()
    inner = []
    for number in (1, 2):
        builder.StartObject(1)
        builder.PrependUint32Slot(0, number, 0)
        inner.append(builder.EndObject())
    builder.StartVector(4, 2, 4)
    for table in reversed(inner):
        builder.PrependUOffsetTRelative(table)
    tables = builder.EndVector()
    builder.StartVector(4, 2, 4)
    for number in (-7, 5):
        builder.PrependInt32(number)
    numbers = builder.EndVector()
    text = builder.CreateString("abc")
    builder.StartObject(5)
    builder.PrependUOffsetTRelativeSlot(0, text, 0)
    builder.PrependUOffsetTRelativeSlot(1, numbers, 0)
    builder.PrependUOffsetTRelativeSlot(2, tables, 0)
    builder.PrependUint32Slot(3, 9, 0)
    builder.Finish(builder.EndObject(), b"TEST")
    return bytes(builder.Output())


WRITTEN = written()


def read(data: bytes) -> object:
    root = root_of(memoryview(data), b"TEST")
    inner = [table.whole_number(0) for table in root.tables(2)]
    return root.text(0), root.whole_numbers(1), inner, root.table(2, 1).whole_number(0), root.whole_number(3)


def test_fields_are_found() -> None:
    """A text, vectors of numbers and tables, and a number; what is not set is empty or 0."""
    assert read(WRITTEN) == ("abc", [5, -7], [1, 2], 2, 9)
    root = root_of(memoryview(WRITTEN), b"TEST")
    assert (root.text(4), root.whole_numbers(4), root.tables(7), root.whole_number(4)) == ("", [], [], 0)


def test_another_kind_is_damaged() -> None:
    """The identifier in the buffer says what its tables are; a vector ends where it ends."""
    with pytest.raises(Damaged):
        root_of(memoryview(WRITTEN), b"TFL3")
    with pytest.raises(Damaged):
        root_of(memoryview(WRITTEN), b"TEST").table(2, 2)


@pytest.mark.parametrize("length", range(0, len(WRITTEN) - 12, 4))
def test_a_buffer_that_ends_early_is_damaged(length: int) -> None:
    """No offset leads out of the buffer."""
    with pytest.raises(Damaged):
        read(WRITTEN[:length])


@given(st.lists(st.tuples(st.integers(8, len(WRITTEN) - 1), st.integers(0, 255)), max_size=6))
def test_any_bytes_end(changes: list[tuple[int, int]]) -> None:
    """No change makes the reader hang or raise anything else."""
    data = bytearray(WRITTEN)
    for place, value in changes:
        data[place] = value
    with contextlib.suppress(Damaged):
        read(bytes(data))
