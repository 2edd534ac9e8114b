"""How long the parts of a run may take."""

from __future__ import annotations

from benchmarks.gpu.plan import PARTS, Part, limit_s

MOST_S = 540


def test_the_whole_run_takes_nine_minutes_at_most() -> None:
    """A borrowed machine is lent for ten, and some of that is for installing the wheels."""
    assert sum(part.bound_s for part in PARTS) <= MOST_S


def test_a_part_may_use_what_earlier_ones_left() -> None:
    """And none of what later ones need."""
    parts = [Part("a", "a", 10), Part("b", "b", 20), Part("c", "c", 30)]
    assert limit_s(parts, 0, elapsed_s=0) == 10
    assert limit_s(parts, 1, elapsed_s=4) == 26
    assert limit_s(parts, 2, elapsed_s=30) == 30
