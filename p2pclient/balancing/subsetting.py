"""Which of many workers one client talks to: all if they are few, else its own 20; pure, no I/O.

Hundreds of clients that each keep connections to hundreds of workers spend more on connections than on
images. Each client ranks the workers by a hash of its own salt and the worker's id and takes the first
(rendezvous hashing: D. Thaler, C. Ravishankar, 1998; as a load balancer's subset: gRPC proposal A68). So
a worker that comes or goes changes at most one place in any client's subset, and different clients have
different ones. Their choice is random: a worker is in more or fewer subsets than another, which evens
out where clients are many. Few clients that send much need more workers than that: a subset may be
widened, and then the first 20 stay in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from heapq import nsmallest
from math import inf

from p2pclient.types import Worker

SIZE = 20

CALM_S = 60.0
"""How long a client must have been less busy before its subset is narrowed again: connections are worth keeping."""


class SubsetSize:
    """How many workers a client uses: `size`, at first `base` (None: all, always).

    Doubled until it is twice the requests in flight, and back again, to no less than `base`, once so many
    have not been in flight for a minute. `busiest` is the most that were in flight since it was last decided.
    """

    def __init__(self, base: int | None) -> None:
        self._base = base
        self.size = base
        self.busiest: float = inf if base is None else 0
        self.review_s = inf

    def grow(self, in_flight: int, now_s: float) -> bool:
        """More are in flight than `busiest`; True: `size` has changed."""
        self.busiest = in_flight
        if self.size is None or 2 * in_flight <= self.size:
            return False
        self.size = self._fit(in_flight)
        self.review_s = now_s + CALM_S
        return True

    def shrink(self, in_flight: int, now_s: float) -> bool:
        """Decide anew if it is time to; True: `size` has changed."""
        if now_s < self.review_s or self._base is None:
            return False
        before, self.size = self.size, self._fit(int(self.busiest))
        self.busiest = in_flight
        self.review_s = inf if self.size == self._base else now_s + CALM_S
        return self.size != before

    def _fit(self, in_flight: int) -> int:
        size = self._base or 1
        while size < 2 * in_flight:
            size *= 2
        return size


class Subset:
    """The choice of one client; `salt` (1 to 64 bytes) makes it differ from other clients'.

    Ranks are remembered while a worker is there: a change costs as many hashes as there are newcomers.
    """

    def __init__(self, *, salt: bytes) -> None:
        self._salt = salt
        self._ranks: dict[str, bytes] = {}

    def of(self, workers: Sequence[Worker], *, size: int | None = SIZE) -> Sequence[Worker]:
        """The workers to use, at most `size` of them (None: all); the same ones in whatever order they come."""
        if size is None or len(workers) <= size:
            return workers
        known = self._ranks
        self._ranks = {worker.id: known.get(worker.id) or self._rank(worker.id) for worker in workers}
        return nsmallest(size, workers, key=lambda worker: (self._ranks[worker.id], worker.id))

    def _rank(self, worker_id: str) -> bytes:
        return blake2b(worker_id.encode("utf-8", "surrogateescape"), key=self._salt, digest_size=8).digest()
