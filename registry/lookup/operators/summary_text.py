"""Writes the summary as JSON, whole or what has changed since; only workers that have changed are written again.

The whole:   {"services": [{"name", ..., "workers": [...]}]}
Changes:     {"services": [{"name", ..., "changed": [worker, ...], "gone": [id, ...]}], "gone": [name, ...]}
Of a service in which something has changed all fields but its workers are there. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from registry.discovery.snapshot import Snapshot
from registry.instances.instance import Instance
from registry.lookup.operators.summary import (
    ServiceFacts,
    WorkerFacts,
    service_summary,
    shares_percent,
    worker_facts,
    worker_summary,
)


@dataclass(frozen=True, slots=True)
class ServiceText:
    """One service: `head` is a JSON object without its workers, and `workers` are theirs, by their ids."""

    head: str
    workers: Mapping[str, str]


NOTHING = ServiceText("", {})


class SummaryTexts:
    """The text of one service, again and again."""

    def __init__(self) -> None:
        self._workers: Mapping[str, tuple[Instance, WorkerFacts, str]] = {}

    def text(self, snapshot: Snapshot, facts: ServiceFacts) -> ServiceText:
        """The service now."""
        shares = shares_percent(snapshot, facts.split)
        head = service_summary(snapshot, shares, facts)
        serving = bool(snapshot.serving)
        workers = {}
        for instance in snapshot.instances:
            now = worker_facts(instance, snapshot, shares, facts.figures, serving=serving)
            workers[instance.id] = self._worker(instance, now)
        self._workers = workers
        return ServiceText(json.dumps(head), {id_: text for id_, (_, _, text) in workers.items()})

    def _worker(self, instance: Instance, facts: WorkerFacts) -> tuple[Instance, WorkerFacts, str]:
        known = self._workers.get(instance.id)
        if known is not None and known[0] is instance and known[1] == facts:
            return known
        return instance, facts, json.dumps(worker_summary(instance, facts))


def whole(services: Mapping[str, ServiceText]) -> str:
    """The summary of all these services."""
    written = (f'{_open(each.head)}, "workers": [{", ".join(each.workers.values())}]}}' for each in services.values())
    return f'{{"services": [{", ".join(written)}]}}'


def changes(before: Mapping[str, ServiceText], now: Mapping[str, ServiceText]) -> str:
    """What has changed; "" where nothing has."""
    services = [*_changed(before, now)]
    gone = [name for name in before if name not in now]
    if not services and not gone:
        return ""
    return f'{{"services": [{", ".join(services)}], "gone": {json.dumps(gone)}}}'


def _changed(before: Mapping[str, ServiceText], now: Mapping[str, ServiceText]) -> Iterator[str]:
    for name, service in now.items():
        old = before.get(name, NOTHING)
        changed = [text for id_, text in service.workers.items() if old.workers.get(id_) != text]
        gone = [id_ for id_ in old.workers if id_ not in service.workers]
        if changed or gone or old.head != service.head:
            yield f'{_open(service.head)}, "changed": [{", ".join(changed)}], "gone": {json.dumps(gone)}}}'


def _open(head: str) -> str:
    """A JSON object that goes on."""
    return head.removesuffix("}")
