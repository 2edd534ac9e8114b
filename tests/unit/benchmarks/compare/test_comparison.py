"""The comparison of two checkouts: who takes turns when, and what the row of a figure says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.compare.comparison import BASE, HEAD, STARTS, THIS, compare
from benchmarks.compare.contests import Measured, Turn

CHECKOUTS = {BASE: Path("other"), THIS: Path("this")}


def test_a_row_has_the_ratio_of_this_checkout_to_the_base() -> None:
    """A product of twice the rate at half the processor time says so, whatever the first turns were like."""
    turns: list[str] = []

    @contextmanager
    def started(checkouts: Mapping[str, Path]) -> Iterator[dict[str, Turn]]:
        turns.append("start")
        warm: set[str] = set()

        def turn(name: str) -> Measured:
            turns.append(name)
            rate = {BASE: 100.0, THIS: 200.0}[name] if name in warm else 1.0
            warm.add(name)
            return Measured(rate, {BASE: 8.0, THIS: 4.0}[name])

        yield {name: partial(turn, name) for name in checkouts}

    row = compare("lookups", started, CHECKOUTS, rounds=2)
    assert row == ["lookups", "100.0", "200.0", "2.000", "2.000 (2.000 to 2.000)", "4.0", "0.500"]
    assert len(row) == len(HEAD)
    assert turns == ["start", THIS, BASE, BASE, THIS] * STARTS
