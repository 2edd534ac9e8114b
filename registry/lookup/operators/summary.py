"""Summarises services and workers, with the reasons for what is unusual: what `p2p status` and web pages show. Pure.

Sentences are made here alone, so that all who show them say the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from registry.discovery.snapshot import Snapshot
from registry.instances.instance import Instance
from registry.lookup.rendering import as_json
from registry.rollout.record import Rollout, rollout_entry
from registry.rollout.shares import Shares, absence
from registry.worker_figures.figures import Figures, ServiceFigures, WorkerFigures

_CURES = {
    "it answered 401": "; the lookup service wants an operator's token for them in P2P_TOKEN",
    "it answered 403": "; to tell them to another machine, workers want --tokens, and the lookup service an operator's "
    "in P2P_TOKEN",
}
"""What helps against a worker's refusal to tell its metrics."""

_UNKNOWN = dict.fromkeys(("requests_per_s", "errors", "p50_s", "p99_s"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceFacts:
    """What is known of a service beside its instances.

    `stale_s`: for how long the backend, of the make `product`, has not confirmed it, None while it does; `trouble`:
    why. `hint`: why it has no worker to hand out, "" where that is not known. `rollout` is its record while it is in
    force, and `split` the shares of the versions by it. `figures` are those of the service, None where none are known.
    """

    stale_s: float | None = None
    trouble: str = ""
    hint: str = ""
    rollout: Rollout | None = None
    split: Shares | None = None
    product: str = "Consul"
    figures: ServiceFigures | None = None


def service_summary(snapshot: Snapshot, shares: Mapping[str, float], facts: ServiceFacts) -> dict[str, Any]:
    """One service as a JSON object, without its workers, whose shares in per cent are `shares`."""
    rollout, split, figures = facts.rollout, facts.split, facts.figures
    shadows = {} if rollout is None else rollout.shadows
    return {
        "name": snapshot.service,
        "known": snapshot.known,
        "stale_s": None if facts.stale_s is None else round(facts.stale_s, 1),
        "total": len(snapshot.instances),
        "healthy": len(snapshot.serving),
        "handed_out": len(shares),
        "panic": None if snapshot.panic is None else asdict(snapshot.panic),
        "rollout": None if rollout is None else rollout_entry(rollout),
        "figures": None if figures is None or figures.total is None else _service_figures(figures, figures.total),
        "versions": _versions(snapshot, shares, shadows, {} if figures is None else figures.versions),
        "notes": [
            *_service_notes(snapshot, facts),
            *([absence(snapshot.service, split.absent, split.weights)] if split is not None and split.absent else []),
            *([] if figures is None else _silent_workers(snapshot, figures.workers)),
        ],
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


def _versions(
    snapshot: Snapshot, shares: Mapping[str, float], shadows: Mapping[str, float], figures: Mapping[str, Figures]
) -> list[dict[str, Any]]:
    """The versions that instances serve by default: how many instances, what share of the lookups and of copies.

    With the figures of the instances that serve them by default.
    """
    shares_of: dict[str, list[float]] = {}
    for instance in snapshot.instances:
        shares_of.setdefault(instance.version, []).append(shares.get(instance.id, 0.0))
    return [
        {
            "version": version,
            "workers": len(each),
            "share_percent": round(sum(each), 2),
            "shadow_percent": shadows.get(version, 0.0),
            "figures": _figures(figures.get(version)),
        }
        for version, each in sorted(shares_of.items())
        if version
    ]


def _figures(figures: Figures | None) -> dict[str, Any] | None:
    """Figures to four significant digits; null for what is not known."""
    if figures is None:
        return None
    return {
        "requests_per_s": _digits(figures.requests_per_s),
        "errors": _digits(figures.error_rate),
        "p50_s": _digits(figures.p50_s),
        "p99_s": _digits(figures.p99_s),
    }


def _service_figures(figures: ServiceFigures, total: Figures) -> dict[str, Any]:
    return {"at": round(figures.at_s, 1), "queue": figures.queue} | (_figures(total) or {})


def _digits(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def _worker_figures(worker: WorkerFigures | None) -> dict[str, Any] | None:
    if worker is None:
        return None
    return {
        "engine": worker.engine,
        "in_flight": worker.in_flight,
        "queue": worker.queue,
        "started_at": worker.started_at_s,
        "fault": worker.fault,
    } | (_figures(worker.figures) or _UNKNOWN)


def _silent_workers(snapshot: Snapshot, workers: Mapping[str, WorkerFigures]) -> Iterator[str]:
    """How many healthy workers do not tell their figures, with the commonest reason."""
    faults = Counter(
        workers[instance.id].fault
        for instance in snapshot.serving
        if instance.id in workers and workers[instance.id].fault
    )
    if faults:
        (fault, _), count = faults.most_common(1)[0], faults.total()
        why = f"{fault}{_CURES.get(fault, '')}"
        yield f"{count} of {len(snapshot.serving)} healthy workers do not tell their figures: {why}"


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """What the summary of an instance depends on besides the instance: `share_percent` None: it is not handed out.

    `set_aside`: it refuses connections, and another worker is healthy.
    """

    share_percent: float | None
    set_aside: bool
    figures: WorkerFigures | None


def worker_facts(
    instance: Instance,
    snapshot: Snapshot,
    shares: Mapping[str, float],
    figures: ServiceFigures | None,
    *,
    serving: bool,
) -> WorkerFacts:
    """What is known of an instance beside the others of its service, of which one is healthy if `serving`."""
    set_aside = serving and instance.id in snapshot.unreachable
    own = None if figures is None else figures.workers.get(instance.id)
    return WorkerFacts(shares.get(instance.id), set_aside, own)


def worker_summary(instance: Instance, facts: WorkerFacts) -> dict[str, Any]:
    """One worker as a JSON object."""
    return as_json(instance) | {
        "node": instance.node,
        "health": instance.health,
        "output": instance.output,
        "versions": sorted(instance.versions),
        "loading": instance.loading,
        "failed": dict(instance.failed_versions),
        "handed_out": facts.share_percent is not None,
        "share_percent": facts.share_percent or 0.0,
        "figures": _worker_figures(facts.figures),
        "notes": [*_worker_notes(instance, set_aside=facts.set_aside)],
    }


def _worker_notes(instance: Instance, *, set_aside: bool) -> Iterator[str]:
    """What is unusual about an instance: its check, word for word, refused connections, versions."""
    for line in instance.output.splitlines():
        if line.strip():
            yield f"{instance.health}: {line}"
    if set_aside:
        yield "it refuses connections, so it is not handed out while another worker is healthy"
    if instance.loading:
        yield f"version {instance.loading} is being loaded"
    for version, error in sorted(instance.failed_versions.items()):
        yield f"version {version} failed: {error}"


def _service_notes(snapshot: Snapshot, facts: ServiceFacts) -> Iterator[str]:
    """What is unusual about a service: panic mode, no worker, a backend that does not confirm it."""
    panic = snapshot.panic
    if panic is not None:
        yield f"{panic.healthy} of {panic.total} healthy: all {panic.total} are handed out"
    if not snapshot.eligible and facts.hint:
        yield f"no worker can be handed out: {facts.hint}"
    if facts.stale_s is not None:
        why = f": {facts.trouble}" if facts.trouble else ""
        yield f"{facts.product} has not confirmed this for {facts.stale_s:.0f} s{why}"
