"""A promotion while Consul is away, and writes whose answers are lost."""

from __future__ import annotations

import asyncio

import pytest

from registry.consul.errors import ConsulUnavailable
from registry.consul.key_value import Entry
from registry.instances.instance import Instance
from registry.rollout import promotion
from registry.rollout.promotion import Outcome, Promoter, Promotion
from registry.rollout.record import Rollout, written
from registry.rollout.record_store import ChangedMeanwhile, RecordStore
from registry.rollout.version_reader import Readings
from registry.worker_figures.metrics_text import ModelMetrics
from registry.worker_figures.reading import Reading


class Store:
    """Consul's store with one entry. `away`: so many of the next writes fail; `lossy`: their answers are lost."""

    def __init__(self) -> None:
        self.held = Entry(b"", 0)
        self.away = 0
        self.lossy = False

    async def entry(self, key: str) -> Entry:
        return self.held

    async def put_if_unchanged(self, key: str, value: bytes, *, changed_at: int) -> bool:
        if self.away:
            self.away -= 1
            if self.lossy:
                self.held = Entry(value, self.held.changed_at + 1)
            raise ConsulUnavailable("Consul does not answer.")
        if self.held.changed_at != changed_at:
            return False
        self.held = Entry(value, changed_at + 1)
        return True


class Workers:
    """One worker of version 3 and one of version 4, without any requests."""

    async def instances(self) -> tuple[Instance, ...]:
        return tuple(Instance("flowers", v, "127.0.0.1", 9000, version=v) for v in ("3", "4"))

    async def read(self) -> Readings:
        return tuple(Reading(instance, ModelMetrics()) for instance in await self.instances())


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promotion, "RETRY_S", 0.001)


def promoter(store: Store, said: list[str], stop: asyncio.Event, *, steps: int = 2) -> Promoter:
    records = RecordStore(store, "flowers")  # type: ignore[arg-type]  # a fake
    wanted = Promotion("flowers", "4", 0.02, steps, ())
    return Promoter(wanted, records, Workers(), say=said.append, stop=stop)  # type: ignore[arg-type]


@pytest.mark.parametrize("lossy", [False, True])
async def test_a_write_is_tried_until_consul_answers(lossy: bool) -> None:
    """A write that was carried out although its answer was lost counts as carried out."""
    store, said = Store(), list[str]()
    store.away, store.lossy = (1, True) if lossy else (3, False)
    assert await promoter(store, said, asyncio.Event()).run() is Outcome.PROMOTED
    assert store.held.value == written(Rollout({"4": 100}, {}, {}))
    assert "  Consul does not answer. The split stays as it is until Consul answers." in said
    assert "  The version has answered nothing in this step: there is nothing to judge." in said


async def test_an_interruption_ends_the_waiting_for_consul() -> None:
    store, stop = Store(), asyncio.Event()
    store.away = 1_000_000
    stop.set()
    with pytest.raises(ConsulUnavailable):
        await promoter(store, [], stop).run()
    assert store.held == Entry(b"", 0)


async def test_the_same_record_of_somebody_else_is_not_taken_for_ours() -> None:
    """Only where a write of ours has failed may the record be ours already: an unchanged index proves it is not."""
    store = Store()
    records = RecordStore(store, "flowers")  # type: ignore[arg-type]
    stored = await records.load()
    store.held = Entry(written(Rollout({"3": 1})), 7)
    with pytest.raises(ChangedMeanwhile):
        await records.replace(stored, Rollout({"4": 1}))
