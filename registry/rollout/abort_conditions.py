"""Reads the conditions on which a promotion is given up, and decides whether one of them holds. Pure.

    errors>1%     more than 1 % of the version's requests were answered with a 5xx
    errors>2x     their part is more than twice that of the other versions' requests
    p99>2x        99 of 100 requests took less than a time that is more than twice that of the other versions
    p99>250ms     that time is more than 250 ms
    agreement<95% the version, as a shadow, named the same best label in less than 95 % of the copies
Several of them stand with `|` between: one that holds is enough.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from registry.runtime.errors import SettingsError
from registry.worker_figures.request_counts import RequestCounts

ENOUGH_REQUESTS = 50
"""Before the end of a step a condition is judged once the version has had so many requests: one may be bad luck."""

_CONDITION = re.compile(r"\s*(errors|p50|p99|agreement)\s*([<>])\s*(\d+(?:\.\d+)?)\s*(%|x|ms|s)\s*")
_UNITS = {"errors": ("%", "x"), "p50": ("x", "ms", "s"), "p99": ("x", "ms", "s"), "agreement": ("%",)}


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition: `quantity` is above (for `agreement`: below) `limit` in `unit`."""

    quantity: str
    limit: float
    unit: str

    def holds(self, version: RequestCounts, others: RequestCounts) -> bool:
        """Whether it holds; not where either side has counted nothing."""
        value = _value(self.quantity, version)
        if value is None:
            return False
        if self.quantity == "agreement":
            return value < self.limit / 100
        if self.unit == "x":
            baseline = _value(self.quantity, others)
            return baseline is not None and value > self.limit * baseline
        return value > self.limit / {"%": 100.0, "ms": 1000.0, "s": 1.0}[self.unit]

    def sentence(self, version: RequestCounts, others: RequestCounts) -> str:
        """What was measured, as a clause."""
        shown = _shown(self.quantity, _value(self.quantity, version))
        beside = f" beside {_shown(self.quantity, _value(self.quantity, others))}" if self.unit == "x" else ""
        sign = "<" if self.quantity == "agreement" else ">"
        return f"{self.quantity} {shown}{beside} is {sign} {self.limit:g}{self.unit}"


def conditions(text: str) -> Sequence[Condition]:
    """The conditions in a text such as `errors>1%|p99>2x`; none in an empty one. Raises SettingsError."""
    found = []
    for part in text.split("|") if text.strip() else ():
        match = _CONDITION.fullmatch(part)
        if not match or match[4] not in _UNITS[match[1]] or (match[2] == "<") != (match[1] == "agreement"):
            raise SettingsError(
                f"{part.strip()[:40]!a} is no condition: write errors>1%, errors>2x, p99>2x, p99>250ms, p50>2x or "
                "agreement<95%, with | between several."
            )
        found.append(Condition(match[1], float(match[3]), match[4]))
    return found


def reason_to_abort(
    wanted: Sequence[Condition], version: RequestCounts, others: RequestCounts, *, step_ended: bool
) -> str:
    """Which condition holds, as a clause with the numbers; "" where none does, or too little was counted to judge."""
    for condition in wanted:
        counted = version.compared if condition.quantity == "agreement" else version.requests
        if (step_ended or counted >= ENOUGH_REQUESTS) and condition.holds(version, others):
            return condition.sentence(version, others)
    return ""


def _value(quantity: str, stats: RequestCounts) -> float | None:
    match quantity:
        case "errors":
            return stats.error_rate
        case "p50":
            return stats.quantile_s(0.5)
        case "p99":
            return stats.quantile_s(0.99)
        case _:
            return stats.agreement


def _shown(quantity: str, value: float | None) -> str:
    if value is None:
        return "unknown"
    return f"{value * 1000:.3g} ms" if quantity in ("p50", "p99") else f"{value * 100:.3g} %"
