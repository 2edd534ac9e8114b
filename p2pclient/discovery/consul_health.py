"""What Consul's answers mean, and whether they are to be believed: pure.

Consul can say with a straight face that a service has no workers: after an agent lost its data it answers
200, an empty list, a known leader and a lower index. So a set that shrinks in a suspicious way is held for
a grace time and asked for again; a worker that was put into maintenance before it left is let go at once.
A client that holds a dead worker loses little: the connection is refused, and the next worker is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from yarl import URL

from p2pclient.discovery.health_filter import MAINTENANCE, SERVING
from p2pclient.types import Worker

GRACE_S = 15.0
"""How long a suspicious disappearance is held: longer than a worker needs to register again (10 s)."""

LAST_CONTACT_LIMIT_S = 10.0
"""An agent that heard from the leader longer ago than this answers from the past."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What a 200 of `/v1/health/service/NAME` said. `leader`: whether it comes from the present."""

    index: int
    workers: tuple[Worker, ...]
    leader: bool = True


@dataclass(frozen=True, slots=True)
class Belief:
    """What is held to be true. `index` goes with the next question.

    `suspect_until_s` is set while workers are held that Consul no longer names.
    """

    workers: tuple[Worker, ...] = ()
    index: int = 0
    suspect_until_s: float | None = None


def judge(belief: Belief, heard: Heard, *, now_s: float) -> Belief:
    """What to believe after an answer."""
    named = {worker.id for worker in heard.workers}
    missing = tuple(w for w in belief.workers if w.id not in named and w.health in SERVING)
    odd = heard.index < belief.index or not heard.leader
    until_s = belief.suspect_until_s
    if not missing:
        until_s = None
    elif until_s is None:
        until_s = now_s + GRACE_S if odd or not heard.workers else None
    elif now_s >= until_s:  # only a second reading that is sound in itself lets the missing go
        until_s = now_s + GRACE_S if odd else None
    workers = heard.workers if until_s is None else heard.workers + missing
    # Consul's rule: an index that goes backwards starts again at 0; and never ask with the 0 of a broken answer.
    index = 0 if heard.index < belief.index else max(1, heard.index)
    return Belief(tuple(sorted(workers, key=lambda worker: worker.id)), index, until_s)


def heard(headers: Mapping[str, str], entries: Any) -> Heard:
    """A 200's headers and JSON; raises ValueError, TypeError or LookupError where that is not Consul's."""
    workers: dict[str, Worker] = {}
    for entry in entries:
        worker = _worker(entry)
        if worker is None:
            continue
        # Ids are unique for an agent only, and a catalog has many.
        name = worker.id if worker.id not in workers else f"{worker.id}@{entry['Node']['Node']}"
        workers[name] = worker if name == worker.id else replace(worker, id=name)
    contact_ms = int(headers.get("X-Consul-LastContact") or 0)
    known = headers.get("X-Consul-KnownLeader", "true") == "true"
    return Heard(
        index=int(headers["X-Consul-Index"]),
        workers=tuple(workers.values()),
        leader=known and contact_ms <= LAST_CONTACT_LIMIT_S * 1000,
    )


def _worker(entry: Mapping[str, Any]) -> Worker | None:
    """One entry; None for a service without a port, which cannot be posted to."""
    service = entry["Service"]
    meta = service.get("Meta") or {}
    health = _health(service["ID"], entry.get("Checks") or ())
    weights = service.get("Weights") or {}
    host, port = service.get("Address") or entry["Node"]["Address"], int(service["Port"])
    if not port:
        return None
    URL.build(scheme="http", host=host, port=port)  # raises ValueError where no request could be sent
    return Worker(
        service=str(service["Service"]),
        id=str(service["ID"]),
        host=host,
        port=port,
        version=str(meta.get("version", "")),
        boot=str(meta.get("boot", "")),
        weight=max(1, int(weights.get("Warning" if health == "warning" else "Passing", 1))),
        health=health,
    )


def _health(instance: str, checks: Any) -> str:
    """The worst check; a maintenance check, the service's or its node's, is maintenance."""
    ids = {check["CheckID"] for check in checks}
    if "_node_maintenance" in ids or f"_service_maintenance:{instance}" in ids:
        return MAINTENANCE
    states = {check["Status"] for check in checks}
    return next((state for state in ("critical", "warning") if state in states), "passing")
