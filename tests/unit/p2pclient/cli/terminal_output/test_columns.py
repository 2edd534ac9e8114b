"""Aligned columns: what stands where, what gives way, and characters that are two columns wide."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from p2pclient.cli.terminal_output.columns import aligned, shortened, table_width, wrapped

# An example has no time limit: the machine may be busy with something else.
in_moderation = settings(max_examples=100, deadline=None)


def test_texts_begin_at_the_left_and_numbers_end_at_the_right():
    """Two columns of a terminal lie between cells, and no line ends in spaces."""
    rows = [("worker", "busy", "note"), ("a:1", "7", ""), ("b:1000", "12", "x")]
    assert aligned(rows, texts=(0, 2), width=80) == ["worker  busy  note", "a:1        7", "b:1000    12  x"]
    assert table_width(rows) == 18


def test_wide_characters_keep_the_columns_straight():
    """A character that a terminal draws two columns wide counts as two, also where a cell is cut."""
    assert aligned([("日本", "1"), ("abc", "2")], texts=(0,), width=80) == ["日本  1", "abc   2"]
    assert shortened("日本語日本語", 6) == "日本…"


def test_the_widest_of_the_shrinking_columns_gives_way():
    """The others stay whole, and nothing is cut below nine columns."""
    assert aligned([("a" * 30, "b" * 12, "c" * 20)], texts=(0, 1, 2), shrinking=(0, 1), width=50) == [
        f"{'a' * 13}…  {'b' * 12}  {'c' * 20}"
    ]
    assert aligned([("a" * 30, "c" * 20)], texts=(0, 1), shrinking=(0,), width=10) == [f"{'a' * 8}…  {'c' * 20}"]


@in_moderation
@given(text=st.text(max_size=40), width=st.integers(2, 30))
def test_what_is_shortened_fits(text, width):
    """Whatever the text, it takes at most the width that there is."""
    assert cell_len(shortened(text, width)) <= width


def test_lines_are_wrapped_between_words():
    """A word stays whole where a line has room for it; one that is longer than a line is cut."""
    assert wrapped("  a:1: connection refused", 14) == ["  a:1:", "    connection", "    refused"]
    assert wrapped(f"  {'x' * 12} y", 9) == ["  xxxxxxx", "    xxxxx", "    y"]


@in_moderation
@given(text=st.text(st.sampled_from("ab 日"), max_size=60), width=st.integers(8, 12))
def test_wrapping_loses_spaces_only(text, width):
    """No line is wider than there is room, and every word comes in order."""
    lines = wrapped(text, width)
    assert all(cell_len(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


@in_moderation
@given(text=st.text(st.characters(categories=["L", "N", "P"]), max_size=200), width=st.integers(8, 30))
def test_what_is_wrapped_fits_and_is_whole(text, width):
    """No line is wider than there is room, and the lines together are the text."""
    lines = wrapped(text, width)
    assert all(cell_len(line) <= width for line in lines)
    assert lines[0] + "".join(line.removeprefix("    ") for line in lines[1:]) == text
