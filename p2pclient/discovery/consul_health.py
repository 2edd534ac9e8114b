"""Reads Consul's answers about a service, and decides from them and from what was known which workers there are; pure.

Consul can answer 200, an empty list and a known leader although workers run: after an agent lost its data it does,
with a lower index. So workers that disappear from a suspicious answer are held for a grace time and asked for again; a
worker that was put into maintenance before it left is dropped at once. A client that holds a dead worker loses
little: the connection is refused, and the next worker is asked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any

from p2pclient.discovery.health_filter import MAINTENANCE
from p2pclient.types import Worker

GRACE_S = 15.0
"""How long a suspicious disappearance is held: longer than a worker needs to register again (10 s)."""

LAST_CONTACT_LIMIT_S = 10.0
"""An agent that heard from the leader longer ago than this answers from the past."""

_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")
_BOOT_ID = re.compile(r"[\x21-\x7e]{0,200}")
"""What can travel in an HTTP header; a worker with any other boot id is left out, as the registry does."""


@dataclass(frozen=True, slots=True)
class HealthAnswer:
    """What a 200 of `/v1/health/service/NAME` said. `current`: whether the server is in touch with the leader."""

    index: int
    workers: tuple[Worker, ...]
    current: bool = True


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
    # Consul's rule: an index that goes backwards starts again at 0; and never ask with the 0 of a broken answer.
    index = 0 if answer.index < known.index else max(1, answer.index)
    return KnownWorkers(tuple(sorted(workers, key=lambda worker: worker.id)), index, until_s)


def read_health(headers: Mapping[str, str], entries: Any) -> HealthAnswer:
    """A 200's headers and JSON; raises ValueError, TypeError or LookupError where that is not Consul's."""
    workers: dict[str, Worker] = {}
    for entry in entries:
        try:
            worker = _worker(entry)
        except AttributeError as error:
            raise ValueError("an entry is not of Consul's form") from error
        if worker is None:
            continue
        # Ids are unique for an agent only, and a catalog has many.
        name = worker.id if worker.id not in workers else f"{worker.id}@{entry['Node']['Node']}"
        workers[name] = worker if name == worker.id else replace(worker, id=name)
    contact_ms = int(headers.get("X-Consul-LastContact") or 0)
    known = headers.get("X-Consul-KnownLeader", "true") == "true"
    return HealthAnswer(
        index=int(headers["X-Consul-Index"]),
        workers=tuple(workers.values()),
        current=known and contact_ms <= LAST_CONTACT_LIMIT_S * 1000,
    )


def _worker(entry: Mapping[str, Any]) -> Worker | None:
    """One entry; None for a service to which no request can be sent: without a port, or with an impossible host.

    The registry reads the same answers by itself; tests/support/consul_health_cases.py has the cases for both.
    """
    service, node = entry["Service"], entry["Node"]
    meta = service.get("Meta") or {}
    health = _health(service["ID"], entry.get("Checks") or ())
    weights = service.get("Weights") or {}
    host, port = service.get("Address") or node["Address"], _number(service.get("Port"), default=0)
    boot = _text(meta.get("boot"))
    if not (_is_host(host) and 0 < port < 1 << 16 and _BOOT_ID.fullmatch(boot)):
        return None
    return Worker(
        service=str(service["Service"]),
        id=str(service["ID"]),
        host=host,
        port=port,
        version=_text(meta.get("version")),
        boot=boot,
        weight=max(1, _number(weights.get("Warning" if health == "warning" else "Passing"), default=1)),
        health=health,
    )


def _is_host(host: str) -> bool:
    """Whether it is an IP address, or a name of DNS labels."""
    if _HOST_NAME.fullmatch(host):
        return True
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _number(value: object, *, default: int) -> int:
    return value if isinstance(value, int) else default


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _health(instance: str, checks: Any) -> str:
    """The worst check; a maintenance check, the service's or its node's, is maintenance."""
    ids = {check["CheckID"] for check in checks}
    if "_node_maintenance" in ids or f"_service_maintenance:{instance}" in ids:
        return MAINTENANCE
    states = {check["Status"] for check in checks}
    return next((state for state in ("critical", "warning") if state in states), "passing")
