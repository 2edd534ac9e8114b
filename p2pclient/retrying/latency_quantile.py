"""How long 95 of 100 answers take at most, from the times of the latest ones; pure, no clock.

Source: J. Dean, L. A. Barroso: "The Tail at Scale", CACM 56(2), 2013: a second request after the 95th
percentile costs 5% more requests and cuts most of the tail.
"""

from __future__ import annotations

from collections import deque

QUANTILE = 0.95
KEPT = 1000
ENOUGH = 20


class LatencyQuantile:
    """The `QUANTILE` of the last `KEPT` answers' times in seconds, once there are `ENOUGH`, and the longest ever.

    It is computed anew when there are a tenth more answers, and after each 100 once there are many: an answer costs
    well under a microsecond.
    """

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=KEPT)
        self._until_next = ENOUGH
        self._usual_s: float | None = None
        self.longest_s = 0.0

    def observe(self, took_s: float) -> None:
        """A worker has answered; failures and refusals say nothing of how long an answer takes."""
        self._recent.append(took_s)
        self.longest_s = max(self.longest_s, took_s)
        self._until_next -= 1
        if not self._until_next:
            count = len(self._recent)
            self._until_next = max(1, count // 10)
            self._usual_s = sorted(self._recent)[int(QUANTILE * count)]

    def usual_s(self) -> float | None:
        """Seconds that 95 of 100 answers stay below; None before enough answers were seen."""
        return self._usual_s
