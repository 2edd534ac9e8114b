"""The bounds on memory that attacks are judged by."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.attack.memory import BOUNDS_MB, forget_peak, peak_mb

LIMITS = Path(__file__).parents[4] / "docs" / "reference" / "limits.md"


@pytest.mark.parametrize("name", BOUNDS_MB)
def test_the_documentation_states_them(name: str) -> None:
    """The table of limits.md has the same figure for each process."""
    rows = [line for line in LIMITS.read_text("utf-8").splitlines() if line.startswith(f"| {name} |")]
    assert [row.split("|")[2].strip() for row in rows] == [f"{BOUNDS_MB[name]} MiB"]


def test_a_peak_can_be_forgotten() -> None:
    """What was given back before does not count."""
    kept = bytearray(64 << 20)
    with_it = peak_mb(os.getpid())
    del kept
    forget_peak(os.getpid())
    assert peak_mb(os.getpid()) < with_it - 32
