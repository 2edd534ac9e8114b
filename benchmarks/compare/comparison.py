"""Alternating turns of the two checkouts, summed up to a row of a table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from benchmarks.compare.contests import Started
from benchmarks.harness.rounds import progress
from benchmarks.harness.summary import paired_ratio

BASE, THIS = "base", "this"

STARTS = 2
"""How often the processes are started: what they calibrate at their start, and where their memory lies, then varies."""

HEAD = (
    *("", "base, per second", "this, per second", "ratio of medians", "median of ratios (lowest, highest)"),
    *("this, processor us each", "ratio of processor time"),
)
"""Of the table whose rows `compare` makes."""


def compare(name: str, started: Started, checkouts: Mapping[str, Path], *, rounds: int) -> list[str]:
    """The row of one figure, measured in alternating turns of processes that are started STARTS times."""
    rates: dict[str, list[float]] = {BASE: [], THIS: []}
    costs: dict[str, list[float]] = {BASE: [], THIS: []}
    for _ in range(STARTS):
        with started(checkouts) as turns:
            for number in range(math.ceil(rounds / STARTS) + 1):
                for who in (BASE, THIS) if number % 2 else (THIS, BASE):
                    measured = turns[who]()
                    if number:  # the first round warms up
                        rates[who].append(measured.per_s)
                        costs[who].append(measured.cpu_us)
    progress(f"{name}: measured")
    base, this = median(rates[BASE]), median(rates[THIS])
    ratios = [mine / theirs for mine, theirs in zip(rates[THIS], rates[BASE], strict=True)]
    paired = f"{paired_ratio(rates[THIS], rates[BASE]):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
    cost = [f"{median(costs[THIS]):.1f}", f"{median(costs[THIS]) / median(costs[BASE]):.3f}"]
    return [name, f"{base:,.1f}", f"{this:,.1f}", f"{this / base:.3f}", paired, *cost]
