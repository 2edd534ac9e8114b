"""A snapshot as the state file holds it: written as an entry of JSON, read back with every field checked. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from registry.discovery.snapshot import Snapshot
from registry.instances.instance import Health, Instance
from registry.instances.usability import weight_in_bounds, why_unusable
from registry.rollout.record import Rollout, read_entry, rollout_entry

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SavedSnapshot:
    """A snapshot, when Consul last confirmed it (seconds since 1970), and the service's record while in force."""

    snapshot: Snapshot
    confirmed_at: float
    rollout: Rollout | None = None


def as_entry(saved: SavedSnapshot) -> dict[str, Any]:
    """The snapshot as JSON holds it."""
    snapshot = saved.snapshot
    return {
        "service": snapshot.service,
        "index": snapshot.index,
        "confirmed_at": saved.confirmed_at,
        "proven": sorted(snapshot.proven),
        "instances": [_instance_entry(instance) for instance in snapshot.instances],
    } | ({} if saved.rollout is None else {"rollout": rollout_entry(saved.rollout)})


def read_saved(entry: Mapping[str, Any]) -> SavedSnapshot:
    """The snapshot of an entry, without the instances that cannot be used.

    Raises KeyError, TypeError or ValueError where a field is missing, of another type or out of bounds.
    """
    confirmed_at = _typed(entry["confirmed_at"], (int, float))
    if not (math.isfinite(confirmed_at) and confirmed_at >= 0):
        raise ValueError(f"confirmed_at is {confirmed_at}")
    instances = [_instance(item) for item in _typed(entry["instances"], list)]
    snapshot = Snapshot(
        service=_typed(entry["service"], str),
        instances=tuple(i for i in instances if not _unusable(i)),
        index=_typed(entry["index"], int),
        proven=frozenset(_typed(item, str) for item in _typed(entry["proven"], list)),
        stale=True,
        known=True,
    )
    rollout = read_entry(entry["rollout"]) if "rollout" in entry else None
    return SavedSnapshot(snapshot, float(confirmed_at), rollout)


def _instance_entry(instance: Instance) -> dict[str, Any]:
    return {
        "service": instance.service,
        "id": instance.id,
        "host": instance.host,
        "port": instance.port,
        "weight": instance.weight,
        "version": instance.version,
        "tags": list(instance.tags),
        "boot": instance.boot,
        "health": instance.health.value,
        "meta": dict(instance.meta),
    }


def _instance(entry: Mapping[str, Any]) -> Instance:
    meta = _typed(entry["meta"], dict)
    return Instance(
        service=_typed(entry["service"], str),
        id=_typed(entry["id"], str),
        host=_typed(entry["host"], str),
        port=_typed(entry["port"], int),
        weight=weight_in_bounds(_typed(entry["weight"], int)),
        version=_typed(entry["version"], str),
        boot=_typed(entry["boot"], str),
        tags=tuple(_typed(tag, str) for tag in _typed(entry["tags"], list)),
        health=Health(entry["health"]),
        meta={name: _typed(value, str) for name, value in meta.items()},
    )


def _unusable(instance: Instance) -> str:
    return why_unusable(
        service=instance.service,
        instance_id=instance.id,
        host=instance.host,
        port=instance.port,
        version=instance.version,
        boot=instance.boot,
    )


def _typed(value: Any, kind: type[T] | tuple[type[T], ...]) -> T:
    """The value. Raises TypeError where it is of another type; a bool is no number here."""
    if isinstance(value, bool) or not isinstance(value, kind):
        raise TypeError(f"{str(value)[:40]!r} is of type {type(value).__name__}")
    return value
