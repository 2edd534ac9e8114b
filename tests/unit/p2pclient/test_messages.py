"""What is read of an answer: bounded, fit for a terminal, and never something that steers the client."""

from __future__ import annotations

import pytest

from p2pclient.messages import Answer


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3", 3),
        (" 0 ", 0),
        ("", 0),
        ("-1", 0),
        ("1.5", 0),
        ("nan", 0),
        ("9" * 400, 0),
        ("Wed, 21 Oct 2026", 0),
        ("٣", 0),
    ],
)
def test_retry_after(value, seconds):
    """Only a plain number of seconds counts; nothing a server sends makes the client wait for ever."""
    assert Answer(503, {"Retry-After": value}, b"").retry_after_s == seconds


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": "too large"}', "too large"),
        (b"no worker\nsecond line", "no worker"),
        (b"\n\n  indented", "indented"),
        (b'{"error": 3}', '{"error": 3}'),
        (b"[1", "[1"),
        (b"\xff\x1b[31m", "\ufffd?[31m"),
        (b"x" * 5000, "x" * 300),
        (b"", ""),
    ],
)
def test_sentences(body, said):
    """Whatever a server answers becomes one short printable line."""
    assert Answer(500, {}, body).sentence() == said
