"""The counts of one worker's or one version's requests: subtracted, added up, and what they say of times. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate

Buckets = Counter[float]
"""How many requests took at most so many seconds, by the upper end of each bucket: cumulative."""


@dataclass(frozen=True, slots=True)
class RequestCounts:
    """Requests that were answered, those of them with a 5xx, and how long they took; and the same of shadows.

    Of `compared` copies `agreed` had the caller's best label; `difference` is the sum of the distances of the best
    labels' scores. `dropped`: copies that clients could not send.
    """

    requests: int = 0
    errors: int = 0
    buckets: Buckets = field(default_factory=Counter)
    shadows: int = 0
    shadow_errors: int = 0
    shadow_buckets: Buckets = field(default_factory=Counter)
    compared: int = 0
    agreed: int = 0
    difference: float = 0.0
    dropped: int = 0

    @property
    def error_rate(self) -> float | None:
        """The part of the requests that was answered with a 5xx; None without requests."""
        return self.errors / self.requests if self.requests else None

    @property
    def agreement(self) -> float | None:
        """The part of the compared copies with the same best label; None where none was compared."""
        return self.agreed / self.compared if self.compared else None

    @property
    def mean_difference(self) -> float | None:
        """How far the best labels' scores lie apart on average; None where none was compared."""
        return self.difference / self.compared if self.compared else None

    def quantile_s(self, part: float) -> float | None:
        """Within how many seconds this part of the requests was answered, interpolated in its bucket."""
        return quantile(self.buckets, part)

    def shadow_quantile_s(self, part: float) -> float | None:
        """The same for the copies."""
        return quantile(self.shadow_buckets, part)


def quantile(buckets: Buckets, part: float) -> float | None:
    """The time below which this part of the counts lies; None without counts, the last bound where it lies beyond."""
    bounds = sorted(buckets)
    total = buckets[bounds[-1]] if bounds else 0
    if total <= 0:
        return None
    below_s, below = 0.0, 0
    for bound_s in bounds:
        if buckets[bound_s] >= part * total:
            if bound_s == float("inf"):
                return below_s
            inside = buckets[bound_s] - below
            return below_s + (bound_s - below_s) * (part * total - below) / inside if inside else bound_s
        below_s, below = bound_s, buckets[bound_s]
    return below_s


def since(before: RequestCounts, now: RequestCounts) -> RequestCounts:
    """What one worker counted between two readings; all that it has counted, where its counters began again."""
    if now.requests < before.requests or now.shadows < before.shadows or now.errors < before.errors:
        return now
    return _combined(now, before, -1)


def added(counts: Iterable[RequestCounts]) -> RequestCounts:
    """What several workers have counted together."""
    total = RequestCounts()
    for each in counts:
        total = _combined(total, each, 1)
    return total


def _combined(one: RequestCounts, other: RequestCounts, sign: int) -> RequestCounts:
    return RequestCounts(
        requests=one.requests + sign * other.requests,
        errors=one.errors + sign * other.errors,
        buckets=_buckets(one.buckets, other.buckets, sign),
        shadows=one.shadows + sign * other.shadows,
        shadow_errors=one.shadow_errors + sign * other.shadow_errors,
        shadow_buckets=_buckets(one.shadow_buckets, other.shadow_buckets, sign),
        compared=one.compared + sign * other.compared,
        agreed=one.agreed + sign * other.agreed,
        difference=one.difference + sign * other.difference,
        dropped=one.dropped + sign * other.dropped,
    )


def _buckets(mine: Buckets, theirs: Buckets, sign: int) -> Buckets:
    if not theirs:
        return mine
    if not mine or mine.keys() == theirs.keys():
        return Counter({bound: mine[bound] + sign * count for bound, count in theirs.items()})
    bounds = sorted(mine.keys() | theirs.keys())
    one, other = _at(bounds, mine), _at(bounds, theirs)
    return Counter({bound: a + sign * b for bound, a, b in zip(bounds, one, other, strict=True)})


def _at(bounds: Iterable[float], buckets: Buckets) -> list[int]:
    """The counts up to each of these bounds; up to one that the buckets lack, those up to the bound below it."""
    return list(accumulate((buckets.get(bound, 0) for bound in bounds), max))
