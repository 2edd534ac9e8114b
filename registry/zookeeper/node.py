"""What a node of ours holds: the registration of an instance as JSON, in the form of Consul's health API. Pure.

{"Service": {"ID", "Service", "Address", "Port", "Tags", "Meta", "Weights"},
 "Checks": [{"CheckID", "ServiceID", "Name", "Status", "Output", "Notes"}]}

A check with the id that Consul gives a maintenance means maintenance here, too, and its `Notes` are the reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from registry.backend.entry import maintenance_id, read_entry, service_entry
from registry.instances.instance import Health, Instance
from registry.instances.usability import NAME_CHARACTERS_AT_MOST, Unusable

MALFORMED = (LookupError, TypeError, ValueError, AttributeError, RecursionError)
"""What reading raises where a node's data is not of our form; the last one for JSON nested too deep."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check of an instance, and what it found last."""

    id: str
    name: str
    status: Health = Health.PASSING
    output: str = ""


def encode(instance: Instance, checks: Iterable[Check], *, maintenance: str | None) -> bytes:
    """The data of an instance's node; `maintenance` is its reason, None where it takes requests."""
    entries = [_check_entry(instance.id, check) for check in checks]
    return _with_maintenance({"Service": service_entry(instance), "Checks": entries}, instance.id, maintenance)


def decode(service: str, name: str, data: bytes) -> Instance | Unusable:
    """The instance that the node `name` of a service describes, or why it cannot be used."""
    try:
        entry = _entry(data)
        instance, _ = read_entry({"Node": {"Node": "", "Address": ""}, **entry})
        registered = entry["Service"]["Service"], entry["Service"]["ID"]
    except MALFORMED:
        return Unusable(name[:NAME_CHARACTERS_AT_MOST], "its node's data is not a registration")
    if registered != (service, name):
        return Unusable(name[:NAME_CHARACTERS_AT_MOST], "its node's data is another instance's")
    return instance


def boot_of(data: bytes) -> str:
    """The boot id of the process that a node's data describes; "" where it describes none."""
    try:
        return str(_entry(data)["Service"]["Meta"]["boot"])
    except MALFORMED:
        return ""


def maintenance_of(data: bytes, instance_id: str) -> str | None:
    """The reason of the maintenance; None where the instance is not in one, or the data is not a registration."""
    try:
        notes = [check["Notes"] for check in _entry(data)["Checks"] if check["CheckID"] == maintenance_id(instance_id)]
        return str(notes[0]) if notes else None
    except MALFORMED:
        return None


def with_maintenance(data: bytes, instance_id: str, maintenance: str | None) -> bytes:
    """The same data with the instance put into maintenance for this reason, or out of it. Raises MALFORMED."""
    return _with_maintenance(_entry(data), instance_id, maintenance)


def _with_maintenance(entry: Mapping[str, Any], instance_id: str, maintenance: str | None) -> bytes:
    checks = [check for check in entry["Checks"] if check["CheckID"] != maintenance_id(instance_id)]
    if maintenance is not None:
        check = Check(maintenance_id(instance_id), "Service Maintenance Mode", Health.CRITICAL)
        checks.append(_check_entry(instance_id, check) | {"Notes": maintenance})
    return json.dumps({**entry, "Checks": checks}).encode()


def _check_entry(instance_id: str, check: Check) -> dict[str, Any]:
    return {
        "CheckID": check.id,
        "ServiceID": instance_id,
        "Name": check.name,
        "Status": check.status.value,
        "Output": check.output,
        "Notes": "",
    }


def _entry(data: bytes) -> dict[str, Any]:
    entry = json.loads(data)
    if not isinstance(entry, dict):
        raise TypeError("a registration is an object")
    return entry
