"""Keeps the last 15 minutes of one service's or one worker's figures, 28 bytes for each moment. Pure."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Sequence

from registry.worker_figures.figures import Figures

KEPT_S = 15 * 60.0

DIGITS = 4
"""How many significant digits a chart needs."""


class History:
    """Figures by time, oldest first; those older than KEPT_S before the newest are forgotten."""

    __slots__ = ("_at_s", "_series")

    NAMES = ("requests_per_s", "errors", "p50_s", "p99_s", "queue")

    def __init__(self) -> None:
        self._at_s = array("d")
        self._series = [array("f") for _ in self.NAMES]

    def add(self, at_s: float, figures: Figures | None, *, queue: int | None) -> None:
        """Add a moment, in seconds since 1970, that is not before the last one; what is not known is None."""
        values = (None,) * 4 if figures is None else _values(figures)
        self._at_s.append(at_s)
        for series, value in zip(self._series, (*values, queue), strict=True):
            series.append(math.nan if value is None else value)
        self.forget(at_s)

    def forget(self, now_s: float) -> None:
        """Forget what is too old at this moment."""
        old = bisect_left(self._at_s, now_s - KEPT_S)
        if old:
            for series in (self._at_s, *self._series):
                del series[:old]

    def __len__(self) -> int:
        return len(self._at_s)

    def as_json(self) -> dict[str, Sequence[float | None]]:
        """The moments, and beside them each series; null for what was not known."""
        series = {name: [*map(_told, each)] for name, each in zip(self.NAMES, self._series, strict=True)}
        return {"at": [round(at_s, 1) for at_s in self._at_s], **series}


def _values(figures: Figures) -> tuple[float | None, ...]:
    return figures.requests_per_s, figures.error_rate, figures.p50_s, figures.p99_s


def _told(value: float) -> float | None:
    return None if math.isnan(value) else float(f"{value:.{DIGITS}g}")
