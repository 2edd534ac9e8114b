"""Carries a promotion out: writes one split after the other, and goes back where the version does worse.

Plan and conditions are decided in `promotion_plan` and `abort_conditions`. At every moment the record in Consul is a
whole one that holds by itself: whatever ends this process, lookups go on with the last split that it wrote.
"""

from __future__ import annotations

import asyncio
import enum
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from registry.consul.errors import ConsulUnavailable
from registry.rollout.abort_conditions import Condition, reason_to_abort
from registry.rollout.promotion_plan import plan
from registry.rollout.record import Rollout, Weights, split_text
from registry.rollout.record_store import ChangedMeanwhile, RecordStore, StoredRecord
from registry.rollout.version_reader import Readings, VersionReader, all_but, counted_between, faults
from registry.rollout.version_table import stats_text
from registry.runtime.errors import SettingsError
from registry.runtime.tasks.race import event_within
from registry.worker_figures.request_counts import RequestCounts

LOOK_S = 5.0
"""How often the workers' metrics are looked at within a step."""

LOOKS_A_STEP = 4
RETRY_S = 1.0
"""Pause after Consul has not answered."""


class Outcome(enum.IntEnum):
    """How a promotion ended: the exit codes of `p2p promote`."""

    PROMOTED = 0
    ABORTED = 3
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Promotion:
    """What is asked for: `version` gets all calls of `service` in `steps`, in `over_s`, unless `conditions` hold."""

    service: str
    version: str
    over_s: float
    steps: int
    conditions: Sequence[Condition]


class Promoter:
    """Carries out one promotion; `say` gets each line of its progress, and `stop` interrupts it between two writes."""

    def __init__(
        self,
        promotion: Promotion,
        records: RecordStore,
        reader: VersionReader,
        *,
        say: Callable[[str], None],
        stop: asyncio.Event,
    ) -> None:
        self._promotion = promotion
        self._records = records
        self._reader = reader
        self._say = say
        self._stop = stop
        self._baseline = RequestCounts()

    async def run(self) -> Outcome:
        """Carry it out. Raises SettingsError where it cannot begin, ChangedMeanwhile, ConsulUnavailable."""
        wanted = self._promotion
        stored = await self._records.load()
        split = stored.rollout.split or await self._split_by_workers(stored.rollout)
        await self._check_version(split)
        before = replace(stored.rollout, former=stored.rollout.split)
        steps = plan(split, wanted.version, steps=wanted.steps)
        for number, weights in enumerate(steps, 1):
            last = number == len(steps)
            shadows = {v: p for v, p in before.shadows.items() if not (last and v == wanted.version)}
            stored = await self._write(stored, replace(before, split=weights, shadows=shadows))
            self._say(f"Step {number} of {len(steps)}: {split_text(weights)}")
            reason = await self._step(stored, wanted.over_s / len(steps))
            if reason:
                back = replace(before, former=weights)
                await self._write(stored, back)
                self._say(f"Aborted: {reason}. The split of {wanted.service} is {split_text(before.split)} again.")
                return Outcome.ABORTED
            if self._stop.is_set() and not last:
                return self._interrupted(weights, before)
        self._say(f"Version {wanted.version} has all calls of {wanted.service}; p2p rollback takes that back.")
        return Outcome.PROMOTED

    def _interrupted(self, weights: Weights, before: Rollout) -> Outcome:
        service = self._promotion.service
        self._say(
            f"Interrupted: the split of {service} stays {split_text(weights)}. "
            f"p2p rollback {service} returns to {split_text(before.split)}."
        )
        return Outcome.INTERRUPTED

    async def _split_by_workers(self, rollout: Rollout) -> Weights:
        """What the versions' workers get without a split."""
        weights: dict[str, int] = {}
        for instance in await self._reader.instances():
            if instance.health.serving and instance.version not in rollout.shadows:
                weights[instance.version] = weights.get(instance.version, 0) + instance.weight
        return weights

    async def _check_version(self, split: Weights) -> None:
        """Raise SettingsError where no worker serves the version, or where nothing could be judged."""
        wanted = self._promotion
        readings = await self._reader.read()
        own = [each for each in readings if each.instance.version == wanted.version]
        if not own:
            there = ", ".join(sorted({each.instance.version for each in readings})) or "none"
            raise SettingsError(
                f"No healthy worker of {wanted.service} serves version {wanted.version}: start one first. "
                f"Versions with healthy workers: {there}."
            )
        if {version for version, weight in split.items() if weight > 0} == {wanted.version}:
            raise SettingsError(f"Version {wanted.version} has all calls of {wanted.service} already.")
        if wanted.conditions and all(each.counts is None for each in own):
            raise SettingsError(
                f"Nothing can be judged: {' '.join(faults(own))} Give an operator's token in P2P_TOKEN, or "
                "--abort-if '' to promote without looking."
            )

    async def _step(self, stored: StoredRecord, step_s: float) -> str:
        """Wait for the end of a step; why to abort, or ""."""
        before = await self._read()
        ends_s = time.monotonic() + step_s
        while True:
            left_s = ends_s - time.monotonic()
            if await event_within(self._stop, min(left_s, LOOK_S, step_s / LOOKS_A_STEP)):
                return ""
            ended = time.monotonic() >= ends_s
            if not await self._unchanged(stored):
                raise ChangedMeanwhile(
                    f"Another command has changed the split of {self._promotion.service}: this promotion ends here."
                )
            reason = self._judge(before, await self._read(), ended=ended)
            if reason or ended:
                return reason

    def _judge(self, before: Readings | None, now: Readings | None, *, ended: bool) -> str:
        """Why to abort, by what was counted between two readings."""
        if before is None or now is None:
            return ""
        counted = counted_between(before, now)
        version = counted.get(self._promotion.version, RequestCounts())
        others = all_but(counted, self._promotion.version)
        if others.requests:
            self._baseline = others
        reason = reason_to_abort(self._promotion.conditions, version, self._baseline, step_ended=ended)
        if ended or reason:
            self._say(f"  version {self._promotion.version}: {stats_text(version)}; others: {stats_text(others)}")
        if ended and not version.requests:
            self._say("  The version has answered nothing in this step: there is nothing to judge.")
        return reason

    async def _read(self) -> Readings | None:
        """The workers' counts; None where Consul does not say which workers there are."""
        try:
            return await self._reader.read()
        except ConsulUnavailable as error:
            self._say(f"  {error}")
            return None

    async def _unchanged(self, stored: StoredRecord) -> bool:
        try:
            return await self._records.unchanged(stored)
        except ConsulUnavailable:
            return True  # the next write finds out

    async def _write(self, stored: StoredRecord, rollout: Rollout) -> StoredRecord:
        """Write the record, again and again while Consul does not answer; an interruption gives up."""
        while True:
            try:
                return await self._records.replace(stored, rollout)
            except ConsulUnavailable as error:
                if await event_within(self._stop, RETRY_S):
                    raise
                self._say(f"  {error} The split stays as it is until Consul answers.")
