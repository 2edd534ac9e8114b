"""Where the workers are known: what the client asks of a lookup service, or of Consul in its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from p2pclient.types import Panic, Rollout, Service, Snapshot, UnusableWorker, Worker


@dataclass(frozen=True, slots=True)
class Listing:
    """All workers of a service as one answer named them.

    `index` goes with the next question, which is then answered when something has changed; with 0 it is answered at
    once. `stale_s`: for how many seconds the server could not confirm what it answers. `serving` are the workers to
    use now: all that ever were healthy in `panic` mode. `unusable` are those that are registered as no worker can be.
    `rollout`: how calls are split among versions, where they are.
    """

    service: str
    index: int
    workers: tuple[Worker, ...]
    serving: tuple[Worker, ...]
    stale_s: float = 0.0
    panic: Panic | None = None
    unusable: tuple[UnusableWorker, ...] = ()
    rollout: Rollout | None = None

    @property
    def split(self) -> Mapping[str, int]:
        """The weights of versions by which calls are spread; none where workers get calls by their own alone."""
        shares = self.rollout.shares if self.rollout is not None else {}
        return shares if any(worker.version in shares for worker in self.serving) else {}

    def snapshot(self, age_s: float) -> Snapshot:
        """The same for applications, known to be true `age_s` seconds ago."""
        return Snapshot(self.service, self.workers, age_s, self.panic, self.unusable, self.rollout)


class WorkerSource(Protocol):
    """A lookup service or a Consul agent. `service` None means the one that it takes for its default.

    Every method is given the seconds that it may take and raises Failure: NO_LOOKUP, NO_WORKER, or FINAL if
    asking again is of no use.
    """

    @property
    def backoff_max_s(self) -> float:
        """The longest pause between two questions that were not answered."""
        ...

    def panic(self, service: str | None) -> Panic | None:
        """How few workers of a service are healthy, if the last answer about it was given in panic mode."""
        ...

    async def next(self, service: str | None, *, count: int | None, limit_s: float) -> list[Worker]:
        """The next worker in rotation or, with `count`, up to that many different ones; never none."""
        ...

    async def listing(self, service: str | None, *, after: Listing | None, limit_s: float) -> Listing:
        """All workers: at once without `after`, else when this list is true no longer, or after a while."""
        ...

    async def ticket(self, worker: Worker, limit_s: float) -> str:
        """A ticket for a worker that wants one. Raises Failure."""
        ...

    def refused(self, worker: Worker, ticket: str) -> bool:
        """The worker does not accept this ticket; whether another one may do better."""
        ...

    async def close(self) -> None:
        """End what goes on in the background."""
        ...

    async def services(self, *, limit_s: float) -> list[Service]:
        """Every service that this project's workers have registered."""
        ...

    async def unreachable(self, service: str, *, limit_s: float) -> Mapping[str, str]:
        """By worker's id why the lookup service does not reach it, in a clause; nothing where it is not asked."""
        ...
