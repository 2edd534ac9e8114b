"""How many attempts a client may make beyond the first of each call: calls in, permits out; pure, no clock.

When everything fails at once, clients that try again are what keeps it failing. A budget lets a few
failures be tried again at once and many only in proportion to the calls (source: Finagle's RetryBudget,
20% of the requests and 10 a second, over 10 s).
"""

from __future__ import annotations

WINDOW_S = 10
SHARE = 0.2
PER_SECOND = 10.0


class RetryBudget:
    """Extra attempts, at most `share` x the calls plus `per_second` x the seconds of the last 10 s.

    In the first 10 s only the seconds that there have been count, the one under way included. Times are
    of one clock that never goes back.
    """

    def __init__(self, *, share: float = SHARE, per_second: float = PER_SECOND) -> None:
        self._share = share
        self._per_second = per_second
        self._seconds = 0  # how many of the window's seconds there have been
        self._now = 0
        self._calls = [0] * WINDOW_S
        self._taken = [0] * WINDOW_S

    def request(self, now_s: float) -> None:
        """A call begins."""
        self._calls[self._slot(now_s)] += 1

    def take(self, now_s: float) -> bool:
        """Use up one extra attempt; False: there is none left, and none is to be made."""
        slot = self._slot(now_s)
        allowed = self._share * sum(self._calls) + self._per_second * self._seconds
        if sum(self._taken) + 1 > allowed:
            return False
        self._taken[slot] += 1
        return True

    def _slot(self, now_s: float) -> int:
        """The place of this second in the window; those that have fallen out of it are emptied."""
        now = int(now_s // 1)
        if not self._seconds:
            self._now, self._seconds = now, 1
        passed = now - self._now
        if passed > 0:
            for second in range(max(self._now, now - WINDOW_S) + 1, now + 1):
                self._calls[second % WINDOW_S] = self._taken[second % WINDOW_S] = 0
            self._now = now
            self._seconds = min(WINDOW_S, self._seconds + passed)
        return self._now % WINDOW_S
