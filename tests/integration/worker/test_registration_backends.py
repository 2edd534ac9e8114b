"""A worker's place in the backend, real Consul and real ZooKeeper alike: taken, kept, found again, left."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest

import registry.zookeeper.registrar
import registry.zookeeper.registrations  # noqa: F401  importing them takes longer than an event loop may be held
import worker.registration
from registry.backend.checks import Checks
from registry.backend.registrations import Registrations
from registry.backend.source import Source
from registry.chosen_backend import BackendSettings, open_registrar
from registry.instances.instance import Health, Instance, RegisterAt
from tests.support.waiting import until
from worker.registration import Registration

LONG_S = 30.0


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heartbeats often, so that what takes seconds does not take minutes in all."""
    monkeypatch.setattr(worker.registration, "HEARTBEAT_S", 0.1)


@pytest.fixture
def instance() -> Instance:
    service = f"s{uuid.uuid4().hex[:8]}"
    return Instance(service, f"{service}-127.0.0.1-9001", "127.0.0.1", 9001, boot="boot1", version="7")


def registration(backend: BackendSettings, instance: Instance, moving: list[bool] | None = None) -> Registration:
    states = moving or [True]
    return Registration(backend, instance, Checks(health_url=None), moving=lambda: states[0])


async def health(source: Source, instance: Instance) -> list[Health]:
    return [each.health for each in (await source.health(instance.service)).instances]


async def test_a_place_from_entry_to_exit(backend: BackendSettings, source: Source, instance: Instance) -> None:
    """On entry the warm worker is passing, on leaving in maintenance, on exit gone."""
    async with registration(backend, instance) as place:
        assert await health(source, instance) == [Health.PASSING]
        await place.leave()
        assert await health(source, instance) == [Health.MAINTENANCE]
    assert await health(source, instance) == []


async def test_a_worker_that_somebody_deregistered_registers_again(
    backend: BackendSettings, source: Source, instance: Instance
) -> None:
    """Deregistered behind its back, a living worker takes its place again."""
    async with registration(backend, instance):
        other = open_registrar(backend, RegisterAt.AGENT)
        if not await other.knows(instance.id, boot="boot1"):  # ZooKeeper: the node is another session's
            await other.register(instance, Checks(health_url=None))
        await other.deregister(instance.id)
        await other.close()

        async def back() -> bool:
            return await health(source, instance) == [Health.PASSING]

        await until(back, within_s=LONG_S)


async def test_an_operator_s_maintenance_is_kept(
    backend: BackendSettings, source: Source, registrations: Registrations, instance: Instance
) -> None:
    """Heartbeats and another version never take a worker out of the maintenance that an operator set."""
    moving = [True]
    async with registration(backend, instance, moving) as place:
        (found,) = [each for each in await registrations.changeable() if each.id == instance.id]
        await registrations.maintenance(found, enable=True, reason="repair")
        moving[0] = False  # what the next heartbeats say is written

        async def said() -> bool:
            (said,) = (await source.health(instance.service)).instances
            assert (said.health, said.output) == (Health.MAINTENANCE, "repair")
            return said.version == "8"

        await place.update(replace(instance, version="8"))
        await until(said, within_s=LONG_S)
        await registrations.maintenance(found, enable=False)

        async def stuck() -> bool:
            return await health(source, instance) == [Health.CRITICAL]

        await until(stuck, within_s=LONG_S)


async def test_a_stuck_worker_turns_critical_and_back(
    backend: BackendSettings, source: Source, instance: Instance
) -> None:
    """When the prediction loop does not move the next heartbeat says so, and a later one takes it back."""
    moving = [False]
    async with registration(backend, instance, moving):

        async def is_(wanted: Health) -> bool:
            return await health(source, instance) == [wanted]

        await until(lambda: is_(Health.CRITICAL), within_s=LONG_S)
        moving[0] = True
        await until(lambda: is_(Health.PASSING), within_s=LONG_S)
