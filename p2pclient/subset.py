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

from p2pclient.types import Worker

SIZE = 20


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
