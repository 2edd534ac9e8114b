"""Figures of a service or a worker, as the lookup service's summary tells them, and as text. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

UNKNOWN = "-"

HEADS = ("rate", "errors", "p50", "p99")
"""The columns of a worker's figures."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Requests per second, the part of them answered with a 5xx, and within how many seconds half and 99% ended.

    None stands for what is not known.
    """

    requests_per_s: float | None = None
    errors: float | None = None
    p50_s: float | None = None
    p99_s: float | None = None

    @property
    def cells(self) -> tuple[str, ...]:
        """The figures as HEADS name them."""
        rate = UNKNOWN if self.requests_per_s is None else f"{_short(self.requests_per_s)}/s"
        errors = UNKNOWN if self.errors is None else f"{_short(100 * self.errors)}%"
        return rate, errors, _time(self.p50_s), _time(self.p99_s)

    @property
    def clause(self) -> str:
        """The figures of a service in a line; "" where none is known."""
        if self.requests_per_s is None:
            return ""
        rate, errors, p50, p99 = self.cells
        times = "" if self.p50_s is None else f", errors {errors}, p50 {p50}, p99 {p99}"
        return f"{rate.removesuffix('/s')} requests/s{times}"


NO_FIGURES = Figures()


def figures_of(said: Any) -> Figures:
    """The figures in a summary; NO_FIGURES where there are none, or where they have another form."""
    if not isinstance(said, dict):
        return NO_FIGURES
    return Figures(*(_number(said.get(name)) for name in ("requests_per_s", "errors", "p50_s", "p99_s")))


def _number(said: Any) -> float | None:
    known = isinstance(said, int | float) and not isinstance(said, bool) and 0 <= said < math.inf
    return float(said) if known else None


def _short(value: float) -> str:
    """Three digits, and no exponent."""
    return f"{value:.0f}" if value >= 100 or value == 0 else f"{value:.3g}"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return UNKNOWN
    return f"{_short(seconds)} s" if seconds >= 1 else f"{_short(1000 * seconds)} ms"
