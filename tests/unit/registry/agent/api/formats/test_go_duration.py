"""Durations: Go's notation, whatever the units, and nothing else."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.agent.api.formats.go_duration import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("55s", 55.0), ("1m30s", 90.0), ("100ms", 0.1), ("1.5h", 5400.0), ("-5s", -5.0), ("+2s", 2.0), ("0", 0.0),
        (".5s", 0.5), ("1.s", 1.0), ("2us", 2e-6), ("2µs", 2e-6), ("3ns", 3e-9), ("1h1m1s1ms", 3661.001),
    ],
)  # fmt: skip
def test_what_go_understands(text: str, seconds: float) -> None:
    """Every form that Go's time.ParseDuration takes has its value in seconds."""
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "abc", "s", "1 s", "1d", "1s ", "--1s", "1.5.5s", "٣s", "1e3s", "10000000h"])
def test_what_go_refuses(text: str) -> None:
    """Anything else is refused in Go's words."""
    with pytest.raises(ValueError, match="time: invalid duration"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["5", "1m5", "-3", ".5"])
def test_a_missing_unit_is_named(text: str) -> None:
    """A number without a unit is refused as just that."""
    with pytest.raises(ValueError, match="time: missing unit in duration"):
        parse_duration(text)


@given(st.lists(st.tuples(st.integers(0, 1000), st.sampled_from(["h", "m", "s", "ms"])), min_size=1, max_size=6))
def test_parts_add_up(parts: list[tuple[int, str]]) -> None:
    """A duration is the sum of its parts, in any order."""
    whole = parse_duration("".join(f"{number}{unit}" for number, unit in parts))
    assert whole == pytest.approx(sum(parse_duration(f"{number}{unit}") for number, unit in parts))


@given(st.text(max_size=20))
def test_no_other_error(text: str) -> None:
    """Whatever the text, the outcome is a number or a ValueError."""
    with suppress(ValueError):
        assert isinstance(parse_duration(text), float)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"), (1, "1s"), (90, "1m30s"), (3600, "1h0m0s"), (5400.5, "1h30m0.5s"), (0.02, "20ms"), (0.0015, "1.5ms"),
        (2e-6, "2µs"), (3e-9, "3ns"), (-5, "-5s"), (86_400, "24h0m0s"),
    ],
)  # fmt: skip
def test_what_go_writes(seconds: float, text: str) -> None:
    """Seconds are written as Go's time.Duration writes them."""
    assert format_duration(seconds) == text


@given(st.integers(-(10**15), 10**15))
def test_what_is_written_is_read(microseconds: int) -> None:
    """A duration that was written is read back as the same."""
    seconds = microseconds / 1e6
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, abs=1e-6)
