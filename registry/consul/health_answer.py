"""Reads Consul's answer about the health of a service: `/v1/health/service/NAME` becomes a `HealthAnswer`. Pure.

Its entries are read by `registry.backend.entry`. One that is not of Consul's form makes the whole answer malformed: a
set of which a part is unknown must not replace a good one. p2pclient reads the same answers by itself;
tests/support/consul_health_cases.py holds the cases that both must read alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from registry.backend.entry import ReadEntry
from registry.backend.health_answer import HealthAnswer
from registry.instances.instance import Instance
from registry.instances.usability import Unusable


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
