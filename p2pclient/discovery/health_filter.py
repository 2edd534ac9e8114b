"""Which of the known workers are asked: the healthy ones or, in panic mode, all that ever were; pure.

Those that are healthy; all that ever were, if fewer than half of those still are: most of a set failing
its checks at once means that the checks are wrong (an agent that has just restarted calls everything
critical), or that the rest would be crushed (source: Envoy's panic threshold). An operator's maintenance
is never overruled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from p2pclient.types import Panic, Worker

MAINTENANCE = "maintenance"


class HealthFilter:
    """Remembers which workers of one service, of those still named, have been healthy.

    `panic` is set while `usable` has answered with workers of which fewer than half are healthy.
    """

    def __init__(self) -> None:
        self.panic: Panic | None = None
        self._proven: frozenset[str] = frozenset()

    def usable(self, workers: Sequence[Worker]) -> tuple[Worker, ...]:
        """The workers to ask, each as a healthy one; none if none has ever been healthy."""
        serving = tuple(worker for worker in workers if worker.healthy)
        healthy = {worker.id for worker in serving}
        self._proven = frozenset(w.id for w in workers if w.id in healthy or w.id in self._proven)
        candidates = tuple(w for w in workers if w.health != MAINTENANCE and w.id in self._proven)
        if 2 * len(serving) >= len(candidates):
            self.panic = None
            return serving
        self.panic = Panic(len(serving), len(candidates))
        return tuple(w if w.healthy else replace(w, health="warning") for w in candidates)
