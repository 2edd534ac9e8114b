"""The reading of health answers: the same as reading all of it anew, but only what is new is read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.consul.entry_cache import Entry, EntryCache

_texts = st.text(max_size=8) | st.sampled_from(['},{"Node":{', "}]", '[{"Node":{'])


@st.composite
def entries(draw: st.DrawFn) -> dict[str, Any]:
    """An entry in the order of Consul's fields; with texts that look like its punctuation."""
    opaque = draw(st.sampled_from([{}, {"x": [{"y": 1}, {"Node": {"z": 1}}]}]))
    return {
        "Node": {"Node": draw(_texts), "Meta": {draw(_texts): draw(_texts)}},
        "Service": {"ID": draw(_texts), "Proxy": {"Config": opaque}},
        "Checks": [{"Node": draw(_texts), "Output": draw(_texts)}],
    }


@given(
    lists=st.lists(st.lists(entries(), max_size=4), min_size=1, max_size=4),
    compact=st.booleans(),
    ascii_only=st.booleans(),
)
def test_every_answer_is_read_as_json_reads_it(
    lists: list[list[dict[str, Any]]], compact: bool, ascii_only: bool
) -> None:
    """Whatever entries come, in whatever layout, one answer after another: what json.loads makes of the text."""
    reading: EntryCache[Entry] = EntryCache(lambda entry: entry)
    for answer in lists:
        text = json.dumps(answer, separators=(",", ":") if compact else None, ensure_ascii=ascii_only)
        assert reading.values(text) == json.loads(text)


def test_only_what_changed_is_read() -> None:
    """Of a hundred entries of which one changed, one is read."""
    read: list[str] = []

    def keep(entry: Entry) -> str:
        read.append(entry["Node"]["Node"])
        return read[-1]

    answer = [{"Node": {"Node": f"n{n}"}, "Service": {"ID": n}, "Checks": []} for n in range(100)]
    reading = EntryCache(keep)
    reading.values(json.dumps(answer, separators=(",", ":")))
    read.clear()
    answer[50]["Service"] = {"ID": "changed"}
    values = reading.values(json.dumps(answer, separators=(",", ":")))
    assert (read, len(values)) == (["n50"], 100)


@pytest.mark.parametrize("text", ["", "[", '[{"Node":{}', "<html>", '[{"Node":{"a":1}},{"Node":{]'])
def test_what_is_no_json_is_an_error(text: str) -> None:
    """A text that ends early, or is something else, raises ValueError."""
    with pytest.raises(ValueError, match=r".*"):
        EntryCache(lambda entry: entry).values(text)
