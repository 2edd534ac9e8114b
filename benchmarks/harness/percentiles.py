"""How measured times are spread: p50, p99 and the worst, and a table of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of `values` that at least `share` of them do not exceed (nearest rank)."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def spread_table(measured: Mapping[str, Sequence[float]], *, unit: str, digits: int = 1) -> str:
    """One row for each name: how many were measured, p50, p99 and the worst, as Markdown."""
    rows = [f"| | number | p50, {unit} | p99, {unit} | worst, {unit} |", "| --- | --- | --- | --- | --- |"]
    for name, values in measured.items():
        shown = (percentile(values, 0.5), percentile(values, 0.99), max(values))
        rows.append(f"| {name} | {len(values)} | " + " | ".join(f"{v:.{digits}f}" for v in shown) + " |")
    return "\n".join(rows)
