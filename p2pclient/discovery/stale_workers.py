"""The workers that lookups have named of late: what is left to a client that looks up when the service is away; pure.

A lookup that is not answered says nothing of the workers, so that the last answers are as good as ever: what a
resolver does whose name server is silent (RFC 8767, serving stale data). Times are seconds of one clock.
"""

from __future__ import annotations

from collections.abc import Sequence

from p2pclient.retrying.retry_policy import LOOKUP_TURN_S
from p2pclient.types import Worker

KEPT_S = 60.0
"""A worker that answers have not named for so long is no longer one of those in rotation."""


class Remembered:
    """The workers of one service and when they were last named, the one whose turn it is first."""

    def __init__(self) -> None:
        self._named_s: dict[Worker, float] = {}
        self._away_until_s = 0.0

    def __len__(self) -> int:
        return len(self._named_s)

    def named(self, workers: Sequence[Worker], now_s: float) -> None:
        """An answer names these; those that none has named for a minute are forgotten. Silence forgets nobody."""
        self._away_until_s = 0.0
        for worker in workers:
            self._named_s.pop(worker, None)
            self._named_s[worker] = now_s
        if now_s - next(iter(self._named_s.values())) > KEPT_S:
            self._named_s = {w: named_s for w, named_s in self._named_s.items() if now_s - named_s <= KEPT_S}

    def missed(self, now_s: float) -> None:
        """There was no answer: for a second nobody needs to ask."""
        self._away_until_s = now_s + LOOKUP_TURN_S

    def away(self, now_s: float) -> bool:
        """Whether the service did not answer a moment ago."""
        return now_s < self._away_until_s

    def in_turn(self) -> Sequence[Worker]:
        """All of them, the one that has had no turn for the longest first; its turn is over then."""
        order = list(self._named_s)
        self._named_s[order[0]] = self._named_s.pop(order[0])
        return order
