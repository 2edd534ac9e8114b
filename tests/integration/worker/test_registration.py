"""A worker's place in a real Consul: taken, kept, found again, left."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

import worker.registration
from registry.consul.catalog import Catalog, Checks
from registry.consul.settings import ConsulSettings
from registry.instances.instance import Health, Instance
from tests.support.command_process import free_port
from tests.support.consul_process import ConsulProcess
from tests.support.waiting import until
from worker.registration import Registration


def instance(port: int = 9001) -> Instance:
    return Instance("classify", f"classify-127.0.0.1-{port}", "127.0.0.1", port, boot="boot1", version="7")


@pytest.fixture
async def catalog(consul: ConsulProcess) -> AsyncIterator[Catalog]:
    catalog = Catalog(ConsulSettings(url=consul.url))
    yield catalog
    await catalog.close()


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heartbeats ten times as often, so that what takes seconds does not take minutes in all."""
    monkeypatch.setattr(worker.registration, "HEARTBEAT_S", 0.5)
    monkeypatch.setattr(worker.registration, "AUDIT_S", 1.0)


def registration(consul: ConsulProcess, *, moving: bool | list[bool] = True) -> Registration:
    checks = Checks(f"{consul.url}/v1/status/leader", interval_s=0.5, ttl_s=5)
    states = moving if isinstance(moving, list) else [moving]
    return Registration(ConsulSettings(url=consul.url), instance(), checks, moving=lambda: states[0])


async def health(catalog: Catalog) -> list[Health]:
    return [i.health for i in (await catalog.health("classify")).instances]


async def test_a_registered_worker_is_passing_at_once(consul: ConsulProcess, catalog: Catalog) -> None:
    """On entry Consul knows the warm worker as passing, with boot id, version and our tag; on exit it is gone."""
    async with registration(consul):
        (found,) = (await catalog.health("classify")).instances
        assert (found.health, found.boot, found.version) == (Health.PASSING, "boot1", "7")
        assert found.tags == ("p2p",)
    assert await health(catalog) == []


async def test_leaving_is_maintenance_first(consul: ConsulProcess, catalog: Catalog) -> None:
    """Leaving says maintenance, still registered; only the end deregisters."""
    async with registration(consul) as place:
        await place.leave()
        assert await health(catalog) == [Health.MAINTENANCE]
    assert await health(catalog) == []


async def test_a_forgotten_worker_registers_again(consul: ConsulProcess, catalog: Catalog, tmp_path: Path) -> None:
    """A Consul that lost all its data knows the worker again within two heartbeats of being back."""
    async with registration(consul):
        await asyncio.to_thread(consul.kill)
        shutil.rmtree(tmp_path / "consul" / "data")
        await asyncio.to_thread(consul.start)

        async def back() -> bool:
            return await health(catalog) == [Health.PASSING]

        await until(back, within_s=10)


async def test_a_worker_that_somebody_deregistered_registers_again(consul: ConsulProcess, catalog: Catalog) -> None:
    """Deregistered behind its back, a living worker takes its place again."""
    async with registration(consul):
        await catalog.deregister(instance().id)

        async def back() -> bool:
            return await health(catalog) == [Health.PASSING]

        await until(back, within_s=10)


async def test_an_operators_maintenance_is_kept(consul: ConsulProcess, catalog: Catalog) -> None:
    """Heartbeats and audits never take a worker out of the maintenance that an operator set."""
    async with registration(consul):
        await catalog.maintenance(instance().id, enable=True, reason="operator")
        for _ in range(4):  # over several heartbeats and audits
            await asyncio.sleep(worker.registration.HEARTBEAT_S)
            assert await health(catalog) == [Health.MAINTENANCE]
        await catalog.maintenance(instance().id, enable=False)
        assert await health(catalog) == [Health.PASSING]


async def test_a_stuck_worker_turns_critical_and_back(consul: ConsulProcess, catalog: Catalog) -> None:
    """When the prediction loop does not move the check says so at the next heartbeat, and takes it back."""
    moving = [False]
    async with registration(consul, moving=moving):

        async def is_(wanted: Health) -> bool:
            return await health(catalog) == [wanted]

        await until(lambda: is_(Health.CRITICAL))
        moving[0] = True
        await until(lambda: is_(Health.PASSING))


async def test_a_worker_starts_without_consul(consul: ConsulProcess, catalog: Catalog) -> None:
    """With Consul away the worker begins unregistered, and takes its place when Consul comes."""
    await asyncio.to_thread(consul.stop)
    async with registration(consul):
        await asyncio.to_thread(consul.start)

        async def registered() -> bool:
            return await health(catalog) == [Health.PASSING]

        await until(registered, within_s=10)


async def test_a_worker_can_leave_without_consul(consul: ConsulProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """With Consul away the end is bounded, and no error."""
    monkeypatch.setattr(worker.registration, "FAREWELL_S", 0.5)
    async with asyncio.timeout(10):
        async with registration(consul):
            await asyncio.to_thread(consul.stop)


async def test_other_particulars_change_nothing_else(consul: ConsulProcess, catalog: Catalog) -> None:
    """A change of the version is told at once, and leaves a check that is critical so until a heartbeat says else."""
    moving = [False]
    async with registration(consul, moving=moving) as place:

        async def is_(wanted: Health) -> bool:
            return await health(catalog) == [wanted]

        await until(lambda: is_(Health.CRITICAL))
        index = (await catalog.health("classify")).index
        await place.update(replace(place.instance, version="8", tags=("version-8",)))
        (seen,) = (await catalog.health("classify", index=index, wait_s=5)).instances
        assert (seen.version, seen.tags, seen.health) == ("8", ("p2p", "version-8"), Health.CRITICAL)
        moving[0] = True
        await until(lambda: is_(Health.PASSING))


async def test_other_particulars_are_told_when_consul_is_back(consul: ConsulProcess, catalog: Catalog) -> None:
    """A change while Consul is away is not lost."""
    async with registration(consul) as place:
        await asyncio.to_thread(consul.stop)
        await place.update(replace(place.instance, version="8"))
        await asyncio.to_thread(consul.start)

        async def told() -> bool:
            return [i.version for i in (await catalog.health("classify")).instances] == ["8"]

        await until(told, within_s=10)


async def test_a_check_that_fails_is_logged_with_what_consul_found(
    consul: ConsulProcess, catalog: Catalog, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the agent cannot reach the advertised address, the worker's log says so in the words of the check."""
    caplog.set_level("INFO")
    monkeypatch.setattr(worker.registration, "AUDIT_S", 0.1)
    nowhere = f"http://127.0.0.1:{free_port()}/healthz"
    place = Registration(ConsulSettings(url=consul.url), instance(), Checks(nowhere, interval_s=0.5, ttl_s=60))
    async with place:
        await until(lambda: "clients are not sent here" in caplog.text, within_s=10)
        assert "connection refused" in caplog.text
        await catalog.deregister(instance().id)  # as Consul does after a minute
        await until(lambda: "Consul has removed" in caplog.text, within_s=10)
    assert "has forgotten" not in caplog.text
