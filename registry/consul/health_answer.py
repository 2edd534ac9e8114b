"""Reads Consul's answer about the health of a service: `/v1/health/service/NAME` becomes a `HealthAnswer`. Pure.

An instance to which no request can be sent (no port, an impossible host) is left out. An entry that is not of Consul's
form makes the whole answer malformed: a set of which a part is unknown must not replace a good one. p2pclient reads
the same answers by itself; tests/support/consul_health_cases.py holds the cases that both must read alike.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

from registry.consul.instance import Health, Instance

_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")

BOOT_CHARACTERS_AT_MOST = 200

LAST_CONTACT_LIMIT_MS = 10_000
"""An agent whose server heard from the leader longer ago than this answers with old data."""


@dataclass(frozen=True, slots=True)
class HealthAnswer:
    """What a 200 of `/v1/health/service/NAME` said. `index` is Consul's, `instances` are sorted by id.

    `hidden`: no instance is named, and Consul was found to leave out what our token may not read (any more).
    """

    index: int
    instances: tuple[Instance, ...]
    known_leader: bool = True
    last_contact_ms: int = 0
    hidden: bool = False

    @property
    def current(self) -> bool:
        """Whether it is complete, and from a server that heard from the leader recently."""
        return self.known_leader and self.last_contact_ms <= LAST_CONTACT_LIMIT_MS and not self.hidden


def health_answer(headers: Mapping[str, str], entries: Iterable[tuple[Instance, str] | None]) -> HealthAnswer:
    """The answer with these headers, of entries as `read_entry` returns them.

    Raises KeyError without an index, ValueError where a header is not a number.
    """
    instances: dict[str, Instance] = {}
    for instance, node in filter(None, entries):
        if instance.id in instances:  # an id is unique within one agent, and a catalog has many
            instance = replace(instance, id=f"{instance.id}@{node}")
        instances[instance.id] = instance
    return HealthAnswer(
        index=read_index(headers),
        instances=tuple(sorted(instances.values(), key=lambda instance: instance.id)),
        known_leader=headers.get("X-Consul-KnownLeader", "true") == "true",
        last_contact_ms=int(headers.get("X-Consul-LastContact") or 0),
    )


def read_index(headers: Mapping[str, str]) -> int:
    """Consul's index as a number; as text "99" would be more than "100". Raises KeyError or ValueError without one."""
    return int(headers["X-Consul-Index"])


def read_entry(entry: Mapping[str, Any]) -> tuple[Instance, str] | None:
    """One entry of the list: the instance, and the name of its node; None where no request can be sent to it.

    Raises KeyError, TypeError, ValueError or AttributeError where it is not of Consul's form.
    """
    service, node = entry["Service"], entry["Node"]
    meta = service.get("Meta") or {}
    health = _health(service["ID"], entry.get("Checks") or ())
    weights = service.get("Weights") or {}
    host, port = service.get("Address") or node["Address"], _number(service.get("Port"), default=0)
    if not (_is_host(host) and 0 < port < 1 << 16):
        return None
    boot = _text(meta.get("boot"))
    instance = Instance(
        service=service["Service"],
        id=service["ID"],
        host=host,
        port=port,
        weight=max(1, _number(weights.get("Warning" if health is Health.WARNING else "Passing"), default=1)),
        version=_text(meta.get("version")),
        tags=tuple(service.get("Tags") or ()),
        boot=boot if _fits_header(boot) else "",
        health=health,
        meta=meta,
    )
    return instance, str(node["Node"])


@lru_cache(maxsize=4096)  # the hosts of a fleet are the same in every answer
def _is_host(host: str) -> bool:
    """Whether it is an IP address, or a name of DNS labels."""
    if _HOST_NAME.fullmatch(host):
        return True
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _fits_header(boot: str) -> bool:
    """Whether a boot id can travel in an HTTP header; any other one is not compared."""
    return boot.isascii() and boot.isprintable() and " " not in boot and len(boot) <= BOOT_CHARACTERS_AT_MOST


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object, *, default: int) -> int:
    return value if isinstance(value, int) else default


def _health(instance_id: str, checks: Collection[Mapping[str, str]]) -> Health:
    """The worst status of the checks; a maintenance check of the service or its node means maintenance."""
    ids = {check["CheckID"] for check in checks}
    if "_node_maintenance" in ids or f"_service_maintenance:{instance_id}" in ids:
        return Health.MAINTENANCE
    statuses = {check["Status"] for check in checks}
    return next((health for health in (Health.CRITICAL, Health.WARNING) if health.value in statuses), Health.PASSING)
