"""Reads and writes the record of one service in Consul so that two commands never overwrite each other's change."""

from __future__ import annotations

from dataclasses import dataclass

from registry.consul.key_value import KeyValue
from registry.rollout.record import Rollout, key_of, read, written
from registry.runtime.errors import SettingsError


class ChangedMeanwhile(SettingsError):
    """Another command has changed the record since it was read."""


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """The record, and Consul's index of its last change (0: there is none yet).

    `fault`: why what is stored cannot be read; `rollout` is then empty, and the next write replaces it.
    """

    rollout: Rollout
    changed_at: int
    fault: str = ""


class RecordStore:
    """The record of `service` in `store`. Every method raises ConsulUnavailable and ConsulRefused."""

    def __init__(self, store: KeyValue, service: str) -> None:
        self._store = store
        self._service = service

    async def load(self) -> StoredRecord:
        """The record now."""
        entry = await self._store.entry(key_of(self._service))
        if not entry.changed_at:
            return StoredRecord(Rollout(), 0)
        try:
            return StoredRecord(read(entry.value), entry.changed_at)
        except ValueError as error:
            return StoredRecord(Rollout(), entry.changed_at, str(error))

    async def unchanged(self, stored: StoredRecord) -> bool:
        """Whether nobody has changed the record since."""
        return (await self._store.entry(key_of(self._service))).changed_at == stored.changed_at

    async def replace(self, stored: StoredRecord, rollout: Rollout) -> StoredRecord:
        """Write another record in place of `stored`. Raises ChangedMeanwhile where that is not the record any more."""
        key, value = key_of(self._service), written(rollout)
        done = await self._store.put_if_unchanged(key, value, changed_at=stored.changed_at)
        entry = await self._store.entry(key)
        # Where an earlier try was carried out and its answer was lost, the record is ours already.
        if entry.value != value or not (done or entry.changed_at != stored.changed_at):
            raise ChangedMeanwhile(
                f"Another command has changed the split of {self._service} meanwhile: p2p split {self._service} shows "
                "what holds now."
            )
        return StoredRecord(rollout, entry.changed_at)
