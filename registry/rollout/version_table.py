"""Writes what is known of a service's versions as text: a table for `p2p split`, and a line for a promotion. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from registry.rollout.record import Rollout, shadows_text, split_text
from registry.rollout.shares import Shares
from registry.worker_figures.request_counts import RequestCounts

_HEADS = ("version", "weight", "share", "workers", "rate", "errors", "p50", "p99", "shadow", "agreement", "difference")


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One version: its weight in the split, its healthy workers, what it has counted in `measured_s`.

    `total` is what it has counted since its workers started: copies are few, so they are shown in total.
    """

    version: str
    weight: int | None
    workers: int
    shadow_percent: float | None
    recent: RequestCounts
    total: RequestCounts
    measured_s: float


def as_table(service: str, rollout: Rollout, shares: Shares, rows: Sequence[VersionRow]) -> list[str]:
    """The lines of the table, with a heading."""
    cells = [_HEADS, *(_cells(row, shares.fractions) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(_HEADS))]
    heading = f"{service}: split {split_text(rollout.split)}; shadows {shadows_text(rollout.shadows)}"
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in cells]
    return [heading, *lines]


def as_json(service: str, rollout: Rollout, shares: Shares, rows: Sequence[VersionRow]) -> dict[str, Any]:
    """The same as a JSON object; times in seconds, parts from 0 to 1, null for what was not counted."""
    return {
        "service": service,
        "split": dict(rollout.split),
        "shadows": dict(rollout.shadows),
        "former": None if rollout.former is None else dict(rollout.former),
        "absent": list(shares.absent),
        "versions": [_row_json(row, shares.fractions) for row in rows],
    }


def stats_text(stats: RequestCounts) -> str:
    """What was counted, in a line."""
    return (
        f"{stats.requests} requests, errors {_percent(stats.error_rate)}, p50 {_ms(stats.quantile_s(0.5))}, "
        f"p99 {_ms(stats.quantile_s(0.99))}"
    )


def _cells(row: VersionRow, fractions: Mapping[str, float]) -> tuple[str, ...]:
    total = row.total
    agreement = f"{_percent(total.agreement)} of {total.compared}" if total.compared else "-"
    if total.dropped:
        agreement += f", {total.dropped} dropped"
    return (
        row.version or "(none)",
        "-" if row.weight is None else str(row.weight),
        _percent(fractions.get(row.version, 0.0)),
        str(row.workers),
        f"{row.recent.requests / row.measured_s:.3g}/s",
        _percent(row.recent.error_rate),
        _ms(row.recent.quantile_s(0.5)),
        _ms(row.recent.quantile_s(0.99)),
        "-" if row.shadow_percent is None else f"{row.shadow_percent:g} %",
        agreement,
        "-" if total.mean_difference is None else f"{total.mean_difference:.3g}",
    )


def _row_json(row: VersionRow, fractions: Mapping[str, float]) -> dict[str, Any]:
    recent, total = row.recent, row.total
    return {
        "version": row.version,
        "weight": row.weight,
        "share": fractions.get(row.version, 0.0),
        "workers": row.workers,
        "requests_per_s": recent.requests / row.measured_s,
        "errors": recent.error_rate,
        "p50_s": recent.quantile_s(0.5),
        "p99_s": recent.quantile_s(0.99),
        "shadow": {
            "percent": row.shadow_percent,
            "copies": total.shadows,
            "errors": total.shadow_errors,
            "compared": total.compared,
            "agreement": total.agreement,
            "score_difference": total.mean_difference,
            "p50_s": total.shadow_quantile_s(0.5),
            "p99_s": total.shadow_quantile_s(0.99),
            "dropped": total.dropped,
        },
    }


def _percent(part: float | None) -> str:
    return "-" if part is None else f"{part * 100:.3g} %"


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.3g} ms"
