"""A message's fields are found whatever else it holds, and damaged bytes are told from a message."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.artifacts.damaged import Damaged
from worker.artifacts.safety.protobuf import all_of, fields, map_entries, texts

NESTED = bytes.fromhex("080112036162631a050a0378797812026465")


def test_all_occurrences_of_a_field_are_given() -> None:
    """A repeated field is not the last one only, and a path leads into messages."""
    assert texts(memoryview(NESTED), 2) == ["abc", "de"]
    assert texts(memoryview(NESTED), 3, 1) == ["xyx"]
    assert [number for number, _ in fields(memoryview(NESTED))] == [2, 3, 2]


def test_groups_and_fixed_numbers_are_passed_over() -> None:
    """What nobody writes any more but readers accept hides nothing, and nothing in it counts."""
    group = bytes.fromhex("0b1a01610c")  # a group of field 1 with a field 3 in it
    fixed = bytes.fromhex("0d00000000090000000000000000")
    assert texts(memoryview(group + fixed + NESTED), 2) == ["abc", "de"]
    assert texts(memoryview(group), 3) == []


def test_a_map_gives_key_and_value_in_either_order() -> None:
    """An entry without a key has the empty one."""
    entries = bytes.fromhex("2a060a016b1201762a061201770a016b2a03120178")
    found = [(key, bytes(value)) for key, value in map_entries(memoryview(entries), 5)]
    assert found == [("k", b"v"), ("k", b"w"), ("", b"x")]


@pytest.mark.parametrize("damaged", ["12", "1205616263", "0f", "0c", "0b", "08" + "ff" * 11, "0d0000"])
def test_damaged_bytes_are_told(damaged: str) -> None:
    """A length beyond the end, an unknown kind, a group without its other end, an endless number."""
    with pytest.raises(Damaged):
        list(all_of(memoryview(bytes.fromhex(damaged)), 2))


@given(st.binary(max_size=200))
def test_any_bytes_end(data: bytes) -> None:
    """No bytes make the reader hang or raise anything else."""
    with contextlib.suppress(Damaged):
        list(all_of(memoryview(data), 1, 2, 3))
