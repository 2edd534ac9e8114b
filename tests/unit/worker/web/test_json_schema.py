"""JSON documents are read as their dataclasses say, and described as they are read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from worker.errors import BadRequest
from worker.web.json_schema import read, schema


@dataclass(frozen=True)
class Inner:
    """A part."""

    size: int | None = None


@dataclass(frozen=True)
class Outer:
    """A document."""

    name: str
    parts: list[Inner] = field(default_factory=list)
    share: bool = False


def test_a_document_becomes_its_dataclass() -> None:
    """Known names are read, unknown ones are ignored, and a name that is missing or null gets its default."""
    read_one = read(Outer, {"name": "a", "parts": [{"size": 1}, {"size": None, "else": 2}], "more": []})
    assert read_one == Outer("a", [Inner(1), Inner()])


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ([], "'name' and 'parts'"),
        ({}, "has no 'name'"),
        ({"name": 1}, "^name must be a string"),
        ({"name": "a", "parts": {}}, "^parts must be a list"),
        ({"name": "a", "parts": [{}, {"size": "1"}]}, r"^parts\[1\].size must be a whole number"),
        ({"name": "a", "parts": [{"size": True}]}, "whole number"),
        ({"name": "a", "parts": [{"size": 1.5}]}, "whole number"),
        ({"name": "a", "parts": [1]}, r"^parts\[0\] must be an object"),
        ({"name": "a", "share": 1}, "true or false"),
    ],
)
def test_a_document_of_another_form_is_refused_by_place(value: Any, hint: str) -> None:
    """The sentence names the place and what must stand there."""
    with pytest.raises(BadRequest, match=hint):
        read(Outer, value)


def test_a_document_is_described_as_it_is_read() -> None:
    """The schema has every field with its type; what has no default is required."""
    parts: dict[str, Any] = {}
    assert schema(Outer, parts) == {"$ref": "#/components/schemas/Outer"}
    assert parts["Outer"]["required"] == ["name"]
    assert parts["Outer"]["properties"]["parts"] == {"type": "array", "items": {"$ref": "#/components/schemas/Inner"}}
    assert parts["Inner"]["properties"] == {"size": {"anyOf": [{"type": "integer"}]}}
