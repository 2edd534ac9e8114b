"""An event as one line."""

from __future__ import annotations

import re

import pytest

from p2pclient.cli.events.line import as_line


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (
            {"at": 1_700_000_000.5, "kind": "left", "text": "It has left."},
            r"2023-11-1\d \d\d:\d\d:20  left +It has left.",
        ),
        ({"at": "soon", "kind": "left", "text": "a\nb\x1b[2J"}, r"-{19}  left +a\\nb\\x1b\[2J"),
        ({"at": 1e300}, r"-{19} +"),
        ({}, r"-{19} +"),
    ],
)
def test_an_event_is_one_line_whatever_it_holds(event: dict[str, object], line: str) -> None:
    """When, what kind, the sentence; what a lookup service sends cannot control the terminal."""
    assert re.fullmatch(line, as_line(event).removesuffix("\n"))
