"""Whether a worker is much slower than its neighbours: times of answers in, a factor out; pure, no clock.

One client has few requests in flight at each of many workers, often none, so that load alone does not tell
it which one is slow. Each answer's time is therefore compared with what the others take just then: with the
median of the members' latest answers. Only such quotients can be compared with each other: times themselves
rise and fall with the load, and a worker that was last asked under load would seem slow for ever.
A worker counts as slow once the geometric mean of its latest quotients exceeds `SLOW`; the others, however
much their times scatter, stay equal. (Sources: latency as what ranks, relative to the others: B. Wydrowski et
al., "Load is Not What You Should Balance: Introducing Prequal", NSDI 2024; judged as an outlier among the members,
as in Envoy's success rate ejection.)
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from math import exp, inf, log

SLOW = 2.0
"""From how many times the others' time on a worker is slow."""

PROBE_S = 2.0
FORGET_S = 10.0
"""A slow worker that is not asked otherwise is asked again after 2 s, 4 s, 8 s ... and then every 10 s (Finagle's
time to forget a latency)."""

# No single answer counts for more than this: the client or the network may have paused.
_EXTREME = 8.0

_LOG_SLOW = log(SLOW)

# Clocks are coarse, and a time of 0 cannot be divided by.
_SHORTEST_S = 1e-6

# The mean is one of the last few answers: an older one counts a fifth less for each newer one.
_KEPT = 5


class MedianLatency:
    """The median of the members' latest answers in seconds, the lower one of two."""

    def __init__(self) -> None:
        self._sorted: list[float] = []

    @property
    def value_s(self) -> float:
        """0 before there was an answer."""
        times = self._sorted
        return times[(len(times) - 1) // 2] if times else 0.0

    def reset(self, members: Iterable[LatencyOutlier]) -> None:
        """There are other members now."""
        self._sorted = sorted(member.latest_s for member in members if member.latest_s)

    def take(self, member: LatencyOutlier, took_s: float) -> None:
        """An answer takes the place of the member's last one."""
        took_s = max(took_s, _SHORTEST_S)
        if member.latest_s:
            del self._sorted[bisect_left(self._sorted, member.latest_s)]
        insort(self._sorted, took_s)
        member.latest_s = took_s


class LatencyOutlier:
    """One member's latencies beside the others'. `factor`: 1, or how many times slower than the others it is."""

    __slots__ = ("_log", "_probes", "_seen", "_since_s", "factor", "latest_s", "probe_s")

    def __init__(self) -> None:
        self.latest_s = 0.0
        self.factor = 1.0
        self.probe_s = inf
        self._log = 0.0
        self._seen = 0
        self._probes = 0
        self._since_s = 0.0

    @property
    def slow(self) -> bool:
        """Whether it is to be spared, and asked again at `probe_s`."""
        return self.factor != 1.0

    def record(self, took_s: float, median_s: float, *, now_s: float, answered: bool) -> bool:
        """Take in what an attempt took; True: the member is slow now and was not, or the other way round.

        One that failed or was given up tells something only if it had taken too long already. One good answer
        to a request that was sent when the member was known to be slow ends that: its record is out of date.
        """
        quotient = min(_EXTREME, max(1 / _EXTREME, took_s / median_s))
        late = quotient > SLOW
        if not late and not answered:
            return False
        slow_before = self.slow
        asked_anew = slow_before and now_s - took_s >= self._since_s
        if asked_anew and not late:
            self._forget()
            return True
        self._seen = min(_KEPT - 1, self._seen + 1)
        self._log += (log(quotient) - self._log) / (self._seen + 1)  # as if there had been an equal answer first
        self.factor = exp(self._log) if self._log > _LOG_SLOW else 1.0
        if self.slow and (asked_anew or not slow_before):
            self._since_s = now_s
            self._probes += 1
            self.probed(now_s)
        return self.slow is not slow_before

    def probed(self, now_s: float) -> None:
        """It has just been asked, or is busy: set when it is asked next to find out."""
        self.probe_s = now_s + min(FORGET_S, PROBE_S * 2.0 ** min(self._probes - 1, 10))

    def _forget(self) -> None:
        self.factor = 1.0
        self._log = 0.0
        self._seen = self._probes = 0
