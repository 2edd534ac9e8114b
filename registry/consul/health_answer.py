"""Reads Consul's answer about the health of a service: `/v1/health/service/NAME` becomes a `HealthAnswer`. Pure.

An instance that cannot be used as it is registered is left out, with the reason (`usability`). An entry that is not of
Consul's form makes the whole answer malformed: a set of which a part is unknown must not replace a good one. p2pclient
reads the same answers by itself; tests/support/consul_health_cases.py holds the cases that both must read alike.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from registry.instances.instance import Health, Instance
from registry.instances.usability import NAME_CHARACTERS_AT_MOST, Unusable, weight_in_bounds, why_unusable

ReadEntry = tuple[Instance | Unusable, str]
"""What an entry stands for, and the name of its node."""

CONNECTION_REFUSED = "connect: connection refused"
"""What the output of an HTTP or TCP check ends with where nobody listens (Go's network library)."""

OUTPUT_CHARACTERS = 4096
"""As much as an agent keeps of a check's output."""

LAST_CONTACT_LIMIT_MS = 10_000
"""An agent whose server heard from the leader longer ago than this answers with old data."""


@dataclass(frozen=True, slots=True)
class HealthAnswer:
    """What a 200 of `/v1/health/service/NAME` said. `index` is Consul's; `instances`, and those `unusable`, are sorted.

    `hidden`: no instance is named, and Consul was found to leave out what our token may not read (any more).
    """

    index: int
    instances: tuple[Instance, ...]
    known_leader: bool = True
    last_contact_ms: int = 0
    hidden: bool = False
    unusable: tuple[Unusable, ...] = ()

    @property
    def current(self) -> bool:
        """Whether it is complete, and from a server that heard from the leader recently."""
        return self.known_leader and self.last_contact_ms <= LAST_CONTACT_LIMIT_MS and not self.hidden


def health_answer(headers: Mapping[str, str], entries: Iterable[ReadEntry]) -> HealthAnswer:
    """The answer with these headers, of entries as `read_entry` returns them.

    Raises KeyError without an index, ValueError where a header is not a number.
    """
    instances: dict[str, Instance] = {}
    unusable: set[Unusable] = set()
    for instance, node in entries:
        if isinstance(instance, Unusable):
            unusable.add(instance)
            continue
        if instance.id in instances:  # an id is unique within one agent, and a catalog has many
            instance = replace(instance, id=f"{instance.id}@{node}")
        instances[instance.id] = instance
    return HealthAnswer(
        index=read_index(headers),
        instances=tuple(sorted(instances.values(), key=lambda instance: instance.id)),
        known_leader=headers.get("X-Consul-KnownLeader", "true") == "true",
        last_contact_ms=int(headers.get("X-Consul-LastContact") or 0),
        unusable=tuple(sorted(unusable, key=lambda entry: (entry.id, entry.reason))),
    )


def read_index(headers: Mapping[str, str]) -> int:
    """Consul's index as a number; as text "99" would be more than "100". Raises KeyError or ValueError without one."""
    return int(headers["X-Consul-Index"])


def read_entry(entry: Mapping[str, Any]) -> ReadEntry:
    """One entry of the list: the instance, or why it cannot be used, and the name of its node.

    Raises KeyError, TypeError, ValueError or AttributeError where it is not of Consul's form.
    """
    service, node = entry["Service"], entry["Node"]
    meta, checks = service.get("Meta") or {}, entry.get("Checks") or ()
    health, output = _health(service["ID"], checks)
    weights = service.get("Weights") or {}
    host, port = service.get("Address") or node["Address"], _port(service.get("Port"))
    version, boot = _text(meta.get("version")), _text(meta.get("boot"))
    reason = why_unusable(
        service=service["Service"], instance_id=service["ID"], host=host, port=port, version=version, boot=boot
    )
    if reason:
        return Unusable(service["ID"][:NAME_CHARACTERS_AT_MOST], reason), str(node["Node"])
    instance = Instance(
        service=service["Service"],
        id=service["ID"],
        host=host,
        port=port,
        weight=weight_in_bounds(weights.get("Warning" if health is Health.WARNING else "Passing")),
        version=version,
        tags=_texts(service.get("Tags")),
        boot=boot,
        health=health,
        refused=health is Health.CRITICAL and any(map(_is_refused, checks)),
        output=output[:OUTPUT_CHARACTERS],
        node=str(node["Node"]),
        meta={name: value for name, value in meta.items() if isinstance(value, str)},
    )
    return instance, str(node["Node"])


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _texts(values: object) -> tuple[str, ...]:
    return tuple(value for value in values if isinstance(value, str)) if isinstance(values, list) else ()


def _port(value: object) -> int:
    return value if type(value) is int else 0  # no bool


def _is_refused(check: Mapping[str, Any]) -> bool:
    """Whether a check found that nobody listens at the instance's port. What a heartbeat says does not count."""
    output = _text(check.get("Output"))
    return check["Status"] == Health.CRITICAL and CONNECTION_REFUSED in output and check.get("Type") != "ttl"


def _health(instance_id: str, checks: Collection[Mapping[str, Any]]) -> tuple[Health, str]:
    """The worst status of the checks, and what the first check of that status says.

    A maintenance check of the service or of its node means maintenance; it says the operator's reason.
    """
    by_id = {check["CheckID"]: check for check in checks}
    for id_ in ("_node_maintenance", f"_service_maintenance:{instance_id}"):
        if id_ in by_id:
            return Health.MAINTENANCE, _text(by_id[id_].get("Notes"))
    by_status = {check["Status"]: check for check in reversed(list(checks))}
    for health in (Health.CRITICAL, Health.WARNING):
        if health.value in by_status:
            return health, _text(by_status[health.value].get("Output"))
    return Health.PASSING, ""
