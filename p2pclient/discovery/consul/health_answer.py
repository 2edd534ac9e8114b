"""Reads Consul's answers about a service, and decides from them and from what was known which workers there are; pure.

Consul can answer 200, an empty list and a known leader although workers run: after an agent lost its data it does,
with a lower index. So workers that disappear from a suspicious answer are held for a grace time and asked for again; a
worker that was put into maintenance before it left is dropped at once. A client that holds a dead worker loses
little: the connection is refused, and the next worker is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from p2pclient.bounds import INDEX_AT_MOST, WEIGHT_AT_MOST, decimal
from p2pclient.discovery.consul.blocking_query import next_index
from p2pclient.discovery.health_filter import MAINTENANCE
from p2pclient.discovery.usability import NAME_CHARACTERS_AT_MOST, auth_of, scheme_of, why_unusable
from p2pclient.types import UnusableWorker, Worker

GRACE_S = 15.0
"""How long a suspicious disappearance is held: longer than a worker needs to register again (10 s)."""

LAST_CONTACT_LIMIT_S = 10.0
"""An agent that heard from the leader longer ago than this answers from the past."""

_OUTPUT_CHARACTERS = 4096
"""As much as an agent keeps of a check's output."""


@dataclass(frozen=True, slots=True)
class HealthAnswer:
    """What a 200 of `/v1/health/service/NAME` said. `current`: whether the server is in touch with the leader.

    `unusable` are the instances to which no request can be sent as they are registered.
    """

    index: int
    workers: tuple[Worker, ...]
    current: bool = True
    unusable: tuple[UnusableWorker, ...] = ()


@dataclass(frozen=True, slots=True)
class KnownWorkers:
    """The workers of a service as of the last answer. `index` goes with the next question.

    `held_until_s` is set while workers are held that Consul no longer names.
    """

    workers: tuple[Worker, ...] = ()
    index: int = 0
    held_until_s: float | None = None


def reconcile(known: KnownWorkers, answer: HealthAnswer, *, now_s: float) -> KnownWorkers:
    """The workers to know after an answer."""
    named = {worker.id for worker in answer.workers}
    missing = tuple(w for w in known.workers if w.id not in named and w.healthy)
    suspicious = answer.index < known.index or not answer.current
    until_s = known.held_until_s
    if not missing:
        until_s = None
    elif until_s is None:
        until_s = now_s + GRACE_S if suspicious or not answer.workers else None
    elif now_s >= until_s:  # only a second answer that is not suspicious itself drops the missing
        until_s = now_s + GRACE_S if suspicious else None
    workers = answer.workers if until_s is None else answer.workers + missing
    index = next_index(known.index, answer.index)
    return KnownWorkers(tuple(sorted(workers, key=lambda worker: worker.id)), index, until_s)


def read_health(headers: Mapping[str, str], entries: Any) -> HealthAnswer:
    """A 200's headers and JSON; raises ValueError, TypeError or LookupError where that is not Consul's."""
    workers: dict[str, Worker] = {}
    unusable: list[UnusableWorker] = []
    for entry in entries:
        try:
            worker, reason = _worker(entry)
        except AttributeError as error:
            raise ValueError("an entry is not of Consul's form") from error
        if reason:
            unusable.append(UnusableWorker(worker.id[:NAME_CHARACTERS_AT_MOST], reason))
            continue
        # Ids are unique for an agent only, and a catalog has many.
        name = worker.id if worker.id not in workers else f"{worker.id}@{entry['Node']['Node']}"
        workers[name] = worker if name == worker.id else replace(worker, id=name)
    return HealthAnswer(
        index=decimal(headers["X-Consul-Index"], most=INDEX_AT_MOST),
        workers=tuple(workers.values()),
        current=is_current(headers),
        unusable=tuple(unusable),
    )


def is_current(headers: Mapping[str, str]) -> bool:
    """Whether the server that answered is in touch with the leader; raises ValueError if a header is not Consul's."""
    contact_ms = decimal(headers.get("X-Consul-LastContact") or "0", most=INDEX_AT_MOST)
    known = headers.get("X-Consul-KnownLeader", "true") == "true"
    return known and contact_ms <= LAST_CONTACT_LIMIT_S * 1000


def _worker(entry: Mapping[str, Any]) -> tuple[Worker, str]:
    """One entry, and why no request can be sent to it; "" if one can.

    The registry reads the same answers by itself; tests/support/consul_health_cases.py has the cases for both.
    """
    service, node = entry["Service"], entry["Node"]
    meta = service.get("Meta") or {}
    health, output = _health(service["ID"], entry.get("Checks") or ())
    weights = service.get("Weights") or {}
    host = service.get("Address") or node["Address"]
    if not isinstance(host, str):
        raise TypeError("an address is a text")
    worker = Worker(
        service=str(service["Service"]),
        id=str(service["ID"]),
        host=host,
        port=_number(service.get("Port"), default=0),
        version=_text(meta.get("version")),
        boot=_text(meta.get("boot")),
        weight=_weight(weights.get("Warning" if health == "warning" else "Passing")),
        health=health,
        output=output,
        scheme=scheme_of(meta.get("scheme")),
        auth=auth_of(meta.get("auth")),
    )
    reason = why_unusable(worker_id=worker.id, host=host, port=worker.port, version=worker.version, boot=worker.boot)
    return worker, reason


def _number(value: object, *, default: int) -> int:
    return value if type(value) is int else default


def _weight(value: object) -> int:
    """The weight within Consul's own bounds; 1 where it is no whole number."""
    return min(max(1, value), WEIGHT_AT_MOST) if type(value) is int else 1


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _health(instance: str, checks: Any) -> tuple[str, str]:
    """The worst check, and what it says; a maintenance check, the service's or its node's, is maintenance."""
    by_id = {check["CheckID"]: check for check in checks}
    for name in ("_node_maintenance", f"_service_maintenance:{instance}"):
        if name in by_id:
            return MAINTENANCE, _said(by_id[name].get("Notes"))
    by_state = {check["Status"]: check for check in reversed(list(checks))}
    state = next((state for state in ("critical", "warning") if state in by_state), "passing")
    return state, "" if state == "passing" else _said(by_state[state].get("Output"))


def _said(text: object) -> str:
    return _text(text)[:_OUTPUT_CHARACTERS]
