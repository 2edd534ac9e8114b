"""The counts of one worker's or one version's requests: read from Prometheus text, subtracted, added up. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

_REQUESTS = "p2p_worker_requests_total"
_SECONDS = "p2p_worker_request_duration_seconds_bucket"
_SHADOW_REQUESTS = "p2p_worker_shadow_requests_total"
_SHADOW_SECONDS = "p2p_worker_shadow_duration_seconds_bucket"
_COMPARED = "p2p_worker_shadow_compared_total"
_DIFFERENCE = "p2p_worker_shadow_score_difference_sum"
_DROPPED = "p2p_worker_shadow_dropped_total"

Buckets = Counter[float]
"""How many requests took at most so many seconds, by the upper end of each bucket: cumulative."""


@dataclass(frozen=True, slots=True)
class VersionStats:
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


def read_stats(text: str, *, model: str) -> VersionStats:
    """What a worker's /metrics say of one of its models since it started. Raises ValueError for another text."""
    counts: Counter[tuple[str, bool]] = Counter()
    buckets: dict[str, Buckets] = {_SECONDS: Counter(), _SHADOW_SECONDS: Counter()}
    difference = 0.0
    for sample in (each for family in text_string_to_metric_families(text) for each in family.samples):
        labels = sample.labels
        if labels.get("model") != model:
            continue
        if sample.name in buckets:
            buckets[sample.name][float(labels["le"])] += int(sample.value)
        elif sample.name == _DIFFERENCE:
            difference += sample.value
        else:
            marked = labels.get("status", "").startswith("5") or labels.get("agreed") == "yes"
            counts[sample.name, marked] += int(sample.value) if sample.value < float("inf") else 0
    return VersionStats(
        requests=counts[_REQUESTS, False] + counts[_REQUESTS, True],
        errors=counts[_REQUESTS, True],
        buckets=buckets[_SECONDS],
        shadows=counts[_SHADOW_REQUESTS, False] + counts[_SHADOW_REQUESTS, True],
        shadow_errors=counts[_SHADOW_REQUESTS, True],
        shadow_buckets=buckets[_SHADOW_SECONDS],
        compared=counts[_COMPARED, False] + counts[_COMPARED, True],
        agreed=counts[_COMPARED, True],
        difference=difference,
        dropped=counts[_DROPPED, False],
    )


def since(before: VersionStats, now: VersionStats) -> VersionStats:
    """What was counted between two readings of one worker."""
    return _combined(now, before, -1)


def added(stats: Iterable[VersionStats]) -> VersionStats:
    """What several workers have counted together."""
    total = VersionStats()
    for each in stats:
        total = _combined(total, each, 1)
    return total


def _combined(one: VersionStats, other: VersionStats, sign: int) -> VersionStats:
    def buckets(mine: Buckets, theirs: Buckets) -> Buckets:
        return Counter({bound: mine[bound] + sign * theirs[bound] for bound in mine | theirs})

    return VersionStats(
        requests=one.requests + sign * other.requests,
        errors=one.errors + sign * other.errors,
        buckets=buckets(one.buckets, other.buckets),
        shadows=one.shadows + sign * other.shadows,
        shadow_errors=one.shadow_errors + sign * other.shadow_errors,
        shadow_buckets=buckets(one.shadow_buckets, other.shadow_buckets),
        compared=one.compared + sign * other.compared,
        agreed=one.agreed + sign * other.agreed,
        difference=one.difference + sign * other.difference,
        dropped=one.dropped + sign * other.dropped,
    )
