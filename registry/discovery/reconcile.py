"""Decides from Consul's answer and the previous snapshot of a service what the next snapshot is. Pure.

Consul can answer 200, an empty list and a known leader although workers run: after an agent lost its data it does,
with a lower index. Following that answer would leave clients without workers. So instances that disappear from a
suspicious answer are held for a grace time and queried again; a worker that left in order (maintenance before it
deregistered) is dropped at once.

A worker that refuses connections for longer than one check interval after it last passed is unreachable: that the
check is wrong is then no longer likely, as it is while an agent that has restarted has checked nothing yet. The rules
are those of docs/reference/lifecycle-and-failures.md.
"""

from __future__ import annotations

from dataclasses import replace

from registry.backend.health_answer import HealthAnswer
from registry.discovery.snapshot import Snapshot

GRACE_S = 15.0
"""How long instances that disappeared suspiciously are held: longer than a worker needs to register again (10 s)."""


CHECK_INTERVAL_S = 2.0
"""How often Consul checks a worker. An agent that has just restarted calls every check critical for so long."""


def reconcile(previous: Snapshot, answer: HealthAnswer, *, now_s: float) -> Snapshot:
    """The snapshot after `answer`; `now_s` is monotonic."""
    named = {instance.id for instance in answer.instances}
    missing = tuple(instance for instance in previous.serving if instance.id not in named)
    held_until_s = _held_until(previous, answer, missing=bool(missing), now_s=now_s)
    instances = answer.instances if held_until_s is None else answer.instances + missing
    since_s = {i.id: previous.not_serving_since_s.get(i.id, now_s) for i in instances if not i.health.serving}
    refused_since_s = {i.id: since_s[i.id] for i in instances if i.refused}
    return Snapshot(
        service=previous.service,
        instances=tuple(sorted(instances, key=lambda instance: instance.id)),
        index=next_index(previous.index, answer.index),
        held_until_s=held_until_s,
        proven=frozenset(i.id for i in instances if i.health.serving or i.id in previous.proven),
        stale=not answer.current,
        known=True,
        unusable=answer.unusable,
        not_serving_since_s=since_s,
        unreachable=frozenset(id_ for id_, s in refused_since_s.items() if now_s >= s + CHECK_INTERVAL_S),
        next_unreachable_s=min(
            (s + CHECK_INTERVAL_S for s in refused_since_s.values() if now_s < s + CHECK_INTERVAL_S), default=None
        ),
    )


def mark_stale(snapshot: Snapshot) -> Snapshot:
    """The snapshot after an answer that was not a 200: the same instances and index, marked stale."""
    return replace(snapshot, stale=True)


def next_index(asked: int, answered: int) -> int:
    """The index of the next blocking query.

    0 where the index went backwards, as Consul's documentation asks. Otherwise at least 1, since a query with the 0
    of a broken answer would not block.
    """
    return 0 if answered < asked else max(1, answered)


def _held_until(previous: Snapshot, answer: HealthAnswer, *, missing: bool, now_s: float) -> float | None:
    """Until when missing instances are held; None where none is missing, or where they are really gone."""
    if not missing:
        return None
    if previous.held_until_s is None:
        suspicious = answer.index < previous.index or not answer.current or not answer.instances
        return now_s + GRACE_S if suspicious else None
    if now_s < previous.held_until_s:
        return previous.held_until_s
    # After the grace they are dropped only by a second answer that gives no reason for suspicion itself.
    sound = answer.current and answer.index >= previous.index
    return None if sound else now_s + GRACE_S
