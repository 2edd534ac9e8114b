"""What `p2p split` and `p2p rollback` do: they show, write and take back the record of a service; in lines of text."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from registry.instances.instance import Instance
from registry.rollout.record import Rollout, Weights, shadows_text, split_text
from registry.rollout.record_store import RecordStore, StoredRecord
from registry.rollout.shares import absence, shares
from registry.rollout.version_reader import Readings, VersionReader, by_version, counted_between, faults
from registry.rollout.version_table import VersionRow, as_json, as_table
from registry.runtime.errors import SettingsError
from registry.worker_figures.request_counts import RequestCounts


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be written; None leaves a part as it is. `off` ends the split and the shadows."""

    split: Weights | None = None
    shadows: Mapping[str, float] | None = None
    off: bool = False

    @property
    def any(self) -> bool:
        """Whether there is anything to write."""
        return self.off or self.split is not None or self.shadows is not None


async def change(records: RecordStore, reader: VersionReader, service: str, wanted: Change) -> list[str]:
    """Write another split, other shadows or both; what there is to say of it. Raises ChangedMeanwhile."""
    stored = await records.load()
    was = stored.rollout
    now = replace(was, split={}, shadows={}) if wanted.off else was
    now = replace(now, split=now.split if wanted.split is None else wanted.split)
    now = replace(now, shadows=now.shadows if wanted.shadows is None else wanted.shadows)
    if now.split != was.split:
        now = replace(now, former=was.split)
    await records.replace(stored, now)
    return [*_fault(stored), *_written(service, was, now), *_absences(service, now, await reader.instances())]


async def rollback(records: RecordStore, reader: VersionReader, service: str) -> list[str]:
    """Return to the split before the last change; what there is to say of it. Raises SettingsError without one."""
    stored = await records.load()
    was = stored.rollout
    if was.former is None:
        raise SettingsError(f"There is nothing to go back to: the split of {service} was never changed.")
    now = replace(was, split=was.former, former=was.split)
    await records.replace(stored, now)
    return [*_written(service, was, now), *_absences(service, now, await reader.instances())]


async def shown(
    records: RecordStore, reader: VersionReader, service: str, *, measured_s: float, as_object: bool
) -> list[str]:
    """The split with what each version has counted in `measured_s`, as a table or as one JSON object."""
    stored = await records.load()
    before = await reader.read()
    await asyncio.sleep(measured_s)
    now = await reader.read()
    if not now and not stored.changed_at:
        raise SettingsError(f"There is no split of {service}, and no healthy worker of it.")
    rollout = stored.rollout
    spread = shares(rollout, _weights([each.instance for each in now]))
    rows = _rows(rollout, before, now, measured_s)
    if as_object:
        return [json.dumps(as_json(service, rollout, spread, rows))]
    warnings = [absence(service, spread.absent, spread.weights)] if spread.absent else []
    return [*_fault(stored), *as_table(service, rollout, spread, rows), *warnings, *faults(now)]


def _rows(rollout: Rollout, before: Readings, now: Readings, measured_s: float) -> list[VersionRow]:
    workers = Counter(each.instance.version for each in now)
    recent, total = counted_between(before, now), by_version(now)
    versions = sorted({*workers, *rollout.split, *rollout.shadows}, key=lambda text: (len(text), text))
    return [
        VersionRow(
            version,
            rollout.split.get(version, 0 if rollout.split else None),
            workers[version],
            rollout.shadows.get(version),
            recent.get(version, RequestCounts()),
            total.get(version, RequestCounts()),
            measured_s,
        )
        for version in versions
    ]


def _written(service: str, was: Rollout, now: Rollout) -> list[str]:
    lines = []
    if now.split != was.split:
        lines.append(f"The split of {service} is {split_text(now.split)}; it was {split_text(was.split)}.")
    if now.shadows != was.shadows:
        lines.append(f"The shadows of {service} are {shadows_text(now.shadows)}.")
    return lines or [f"The split of {service} is {split_text(now.split)}, as before."]


def _absences(service: str, now: Rollout, instances: tuple[Instance, ...]) -> list[str]:
    """Warnings of versions that are named without a healthy worker."""
    present = _weights([instance for instance in instances if instance.health.serving])
    spread = shares(now, present)
    warnings = [absence(service, spread.absent, spread.weights)] if spread.absent else []
    idle = [version for version in now.shadows if version not in present]
    warnings += [f"Version {version} is to get copies and has no healthy worker." for version in idle]
    unnamed = [version for version in present if now.split and version not in now.split and version not in now.shadows]
    return [*warnings, *(f"Version {version or '(none)'} has workers and gets no calls." for version in unnamed)]


def _weights(instances: list[Instance]) -> Weights:
    weights: Counter[str] = Counter()
    for instance in instances:
        weights[instance.version] += max(1, instance.weight)
    return weights


def _fault(stored: StoredRecord) -> list[str]:
    return [f"The record in Consul cannot be read: {stored.fault}. It counts as none."] if stored.fault else []
