"""Messages are written so that every reader finds the values again."""

from __future__ import annotations

from worker.artifacts.safety.protobuf import all_of, map_entries, numbers, texts
from worker.training.export.messages import field, map_field


def test_what_is_written_is_what_is_read() -> None:
    """Numbers of one and of several bytes, negative ones as 64 bits, texts, messages in messages, and maps."""
    inner = field(1, 300) + field(2, "naïve")
    message = memoryview(field(1, 0) + field(3, inner) + field(4, -1) + map_field(5, {"a": inner, "b": b""}))
    assert numbers(message, 1) == [0]
    assert numbers(message, 4) == [2**64 - 1]
    assert texts(message, 3, 2) == ["naïve"]
    assert [numbers(each, 1) for each in all_of(message, 3)] == [[300]]
    assert [(key, bytes(value)) for key, value in map_entries(message, 5)] == [("a", inner), ("b", b"")]


def test_the_bytes_are_those_of_the_encodings_documentation() -> None:
    """Field 1 with the number 150, and field 2 with the text "testing"."""
    assert field(1, 150) == bytes.fromhex("089601")
    assert field(2, "testing") == bytes.fromhex("120774657374696e67")
