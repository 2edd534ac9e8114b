"""Measured numbers summed up: percentiles, ratios of values from the same round, tables in Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import median


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of `values` that at least `share` of them do not exceed (nearest rank)."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def paired_ratio(values: Sequence[float], others: Sequence[float]) -> float:
    """The median, over the rounds, of a value divided by the other value of the same round.

    Changes in the speed of the machine between rounds cancel in it. Rounds that only one of both took part in are
    left out.
    """
    return median(value / other for value, other in zip(values, others, strict=False))


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    return "\n".join(map(markdown_row, (head, ["---"] * len(head), *rows)))


def markdown_row(cells: Sequence[str]) -> str:
    """One row of a table in Markdown."""
    return f"| {' | '.join(cells)} |"


def spread_table(measured: Mapping[str, Sequence[float]], *, unit: str, digits: int = 1) -> str:
    """A row for each name: how many values there are, their p50 and p99, and the largest."""
    rows = []
    for name, values in measured.items():
        shown = (percentile(values, 0.5), percentile(values, 0.99), max(values))
        rows.append([name, str(len(values)), *(f"{value:.{digits}f}" for value in shown)])
    return markdown_table(["", "number", f"p50, {unit}", f"p99, {unit}", f"worst, {unit}"], rows)


def rate_table(measured: Mapping[str, Sequence[float]], *, unit: str, beside: str) -> str:
    """A row for each name: the median of its rounds, and the ratio of that median to the one of `beside`."""
    medians = {name: median(values) for name, values in measured.items()}
    rows = [[name, f"{value:,.0f}", f"{value / medians[beside]:.2f}"] for name, value in medians.items()]
    return markdown_table(["", unit, f"x {beside}"], rows)
