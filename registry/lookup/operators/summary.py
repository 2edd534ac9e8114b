"""Summarises services and workers, with the reasons for what is unusual: what `p2p status` and web pages show. Pure.

Sentences are made here alone, so that all who show them say the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from registry.discovery.snapshot import Snapshot
from registry.instances.instance import Instance
from registry.lookup.rendering import as_json
from registry.rollout.record import Rollout, rollout_entry
from registry.rollout.shares import Shares, absence


def service_summary(
    snapshot: Snapshot,
    *,
    stale_s: float | None,
    trouble: str,
    hint: str,
    rollout: Rollout | None = None,
    split: Shares | None = None,
    product: str = "Consul",
) -> dict[str, Any]:
    """One service as a JSON object.

    `stale_s`: for how long the backend, of the make `product`, has not confirmed it, None while it does; `trouble`:
    why. `hint`: why it has no worker to hand out, "" where that is not known. `rollout` is its record while it is in
    force, and `split` the shares of the versions by it.
    """
    shares = shares_percent(snapshot, split)
    shadows = {} if rollout is None else rollout.shadows
    return {
        "name": snapshot.service,
        "known": snapshot.known,
        "stale_s": None if stale_s is None else round(stale_s, 1),
        "total": len(snapshot.instances),
        "healthy": len(snapshot.serving),
        "handed_out": len(shares),
        "panic": None if snapshot.panic is None else asdict(snapshot.panic),
        "rollout": None if rollout is None else rollout_entry(rollout),
        "versions": _versions(snapshot, shares, shadows),
        "notes": [
            *_service_notes(snapshot, stale_s=stale_s, trouble=trouble, hint=hint, product=product),
            *([absence(snapshot.service, split.absent, split.weights)] if split is not None and split.absent else []),
        ],
        "workers": [_worker(instance, snapshot, shares) for instance in snapshot.instances],
        "unusable": [asdict(entry) for entry in snapshot.unusable],
    }


def shares_percent(snapshot: Snapshot, versions: Shares | None = None) -> Mapping[str, float]:
    """The share of the lookups that each instance is named in, by its id, in per cent; none for those left out.

    `versions` are the shares of the versions, by default of their instances, where the calls are split among them.
    """
    parts = {"": 1.0} if versions is None else versions.fractions
    groups: dict[str, list[Instance]] = {}
    for instance in snapshot.eligible:
        groups.setdefault("" if versions is None else instance.version, []).append(instance)
    weights = {group: sum(instance.weight for instance in members) for group, members in groups.items()}
    return {
        instance.id: round(100 * parts[group] * instance.weight / weights[group], 2)
        for group, members in groups.items()
        if group in parts
        for instance in members
    }


def _versions(snapshot: Snapshot, shares: Mapping[str, float], shadows: Mapping[str, float]) -> list[dict[str, Any]]:
    """The versions that instances serve by default: how many instances, what share of the lookups and of copies."""
    shares_of: dict[str, list[float]] = {}
    for instance in snapshot.instances:
        shares_of.setdefault(instance.version, []).append(shares.get(instance.id, 0.0))
    return [
        {
            "version": version,
            "workers": len(each),
            "share_percent": round(sum(each), 2),
            "shadow_percent": shadows.get(version, 0.0),
        }
        for version, each in sorted(shares_of.items())
        if version
    ]


def _worker(instance: Instance, snapshot: Snapshot, shares: Mapping[str, float]) -> dict[str, Any]:
    return as_json(instance) | {
        "node": instance.node,
        "health": instance.health,
        "output": instance.output,
        "versions": sorted(instance.versions),
        "loading": instance.loading,
        "failed": dict(instance.failed_versions),
        "handed_out": instance.id in shares,
        "share_percent": shares.get(instance.id, 0.0),
        "notes": [*_worker_notes(instance, snapshot)],
    }


def _worker_notes(instance: Instance, snapshot: Snapshot) -> Iterator[str]:
    """What is unusual about an instance: its check, word for word, refused connections, versions."""
    for line in instance.output.splitlines():
        if line.strip():
            yield f"{instance.health}: {line}"
    if instance.id in snapshot.unreachable and snapshot.serving:
        yield "it refuses connections, so it is not handed out while another worker is healthy"
    if instance.loading:
        yield f"version {instance.loading} is being loaded"
    for version, error in sorted(instance.failed_versions.items()):
        yield f"version {version} failed: {error}"


def _service_notes(
    snapshot: Snapshot, *, stale_s: float | None, trouble: str, hint: str, product: str
) -> Iterator[str]:
    """What is unusual about a service: panic mode, no worker, a backend that does not confirm it."""
    panic = snapshot.panic
    if panic is not None:
        yield f"{panic.healthy} of {panic.total} healthy: all {panic.total} are handed out"
    if not snapshot.eligible and hint:
        yield f"no worker can be handed out: {hint}"
    if stale_s is not None:
        yield f"{product} has not confirmed this for {stale_s:.0f} s{f': {trouble}' if trouble else ''}"
