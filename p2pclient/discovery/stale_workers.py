"""The workers that recent lookups named, for calls that look up while the lookup service is away; pure.

A lookup that is not answered says nothing of the workers, so that the last answers are still the best there is, as
for a resolver whose name server is silent (RFC 8767, serving stale data). Times are seconds of one clock.
"""

from __future__ import annotations

from collections.abc import Sequence

from p2pclient.timeouts import LOOKUP_TURN_S
from p2pclient.types import Worker

KEPT_S = 60.0
"""A worker that no answer has named for so long is no longer one of those in rotation."""


class StaleWorkers:
    """The workers of one service and when they were last named, the one whose turn it is first."""

    def __init__(self) -> None:
        self._named_s: dict[Worker, float] = {}
        self._away_until_s = 0.0

    def __len__(self) -> int:
        return len(self._named_s)

    def named(self, workers: Sequence[Worker], now_s: float) -> None:
        """An answer names these; those that no answer has named for a minute are forgotten."""
        self._away_until_s = 0.0
        for worker in workers:
            self._named_s.pop(worker, None)
            self._named_s[worker] = now_s
        if now_s - next(iter(self._named_s.values())) > KEPT_S:
            self._named_s = {w: named_s for w, named_s in self._named_s.items() if now_s - named_s <= KEPT_S}

    def missed(self, now_s: float) -> None:
        """There was no answer: for a second the lookup service is not asked again."""
        self._away_until_s = now_s + LOOKUP_TURN_S

    def away(self, now_s: float) -> bool:
        """Whether the service did not answer a moment ago."""
        return now_s < self._away_until_s

    def in_turn(self) -> Sequence[Worker]:
        """All of them, the one whose last turn is the longest ago first; this is its turn."""
        order = list(self._named_s)
        self._named_s[order[0]] = self._named_s.pop(order[0])
        return order
