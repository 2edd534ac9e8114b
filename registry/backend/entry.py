"""Reads and writes a registration as JSON, in the form of Consul's health API, which ZooKeeper's nodes share. Pure.

An instance that cannot be used as it is registered becomes an `Unusable`, with the reason (`usability`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from registry.instances.instance import TAG, Health, Instance
from registry.instances.usability import NAME_CHARACTERS_AT_MOST, Unusable, weight_in_bounds, why_unusable

ReadEntry = tuple[Instance | Unusable, str]
"""What an entry stands for, and the name of its node."""

CONNECTION_REFUSED = "connect: connection refused"
"""What the output of an HTTP or TCP check ends with where nobody listens (Go's network library)."""

OUTPUT_CHARACTERS = 4096
"""As much as an agent keeps of a check's output."""


def service_entry(instance: Instance) -> dict[str, Any]:
    """What is registered of an instance, as the field `Service` of an entry holds it."""
    return {
        "ID": instance.id,
        "Service": instance.service,
        "Address": instance.host,
        "Port": instance.port,
        "Tags": [TAG, *instance.tags],
        "Meta": {**instance.meta, "boot": instance.boot, "version": instance.version},
        "Weights": {"Passing": instance.weight, "Warning": 1},
    }


def maintenance_id(instance_id: str) -> str:
    """The id of the check by which Consul marks a service as in maintenance."""
    return f"_service_maintenance:{instance_id}"


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
    for id_ in ("_node_maintenance", maintenance_id(instance_id)):
        if id_ in by_id:
            return Health.MAINTENANCE, _text(by_id[id_].get("Notes"))
    by_status = {check["Status"]: check for check in reversed(list(checks))}
    for health in (Health.CRITICAL, Health.WARNING):
        if health.value in by_status:
            return health, _text(by_status[health.value].get("Output"))
    return Health.PASSING, ""
