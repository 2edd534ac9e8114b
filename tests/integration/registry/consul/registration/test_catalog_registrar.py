"""A worker's place in the catalogue of a real Consul, under a node that no agent stands for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

import worker.registration
from registry.backend.errors import Forgotten
from registry.backend.registrar import LEAVING
from registry.consul.catalog import Catalog, Checks
from registry.consul.errors import ConsulRefused
from registry.consul.registration.catalog_registrar import CatalogRegistrar, node_of
from registry.consul.settings import ConsulSettings
from registry.instances.instance import Health, Instance, RegisterAt
from tests.support.consul_process import ConsulProcess
from tests.support.waiting import until
from worker.registration import Registration

CHECKS = Checks("http://127.0.0.1:9001/healthz")


def instance(**changes: object) -> Instance:
    given = {"boot": "boot1", "version": "7", "weight": 3, "tags": ("version-7",), "meta": {"model": "m"}}
    return replace(Instance("classify", "classify-10.0.0.5-9001", "10.0.0.5", 9001, **given), **changes)


@pytest.fixture
async def catalog(consul: ConsulProcess) -> AsyncIterator[Catalog]:
    catalog = Catalog(ConsulSettings(url=consul.url))
    yield catalog
    await catalog.close()


@pytest.fixture
async def registrar(consul: ConsulProcess) -> AsyncIterator[CatalogRegistrar]:
    registrar = CatalogRegistrar(ConsulSettings(url=consul.url))
    yield registrar
    await registrar.close()


async def found(catalog: Catalog) -> Instance:
    (only,) = (await catalog.health("classify")).instances
    return only


async def test_it_is_the_same_instance(catalog: Catalog, registrar: CatalogRegistrar) -> None:
    """An instance in the catalogue reads as one that an agent registered: all fields, passing, with our tag."""
    await registrar.register(instance(), CHECKS)
    assert replace(await found(catalog), meta={}) == replace(instance(tags=("p2p", "version-7")), meta={})
    await registrar.deregister(instance().id)
    assert (await catalog.health("classify")).instances == ()
    await registrar.deregister(instance().id)


async def test_a_version_changes_no_check(catalog: Catalog, registrar: CatalogRegistrar) -> None:
    """Registered again by the same process, its checks and an operator's maintenance keep their state."""
    await registrar.register(instance(), CHECKS)
    await registrar.silence(instance().id, note="it hangs")
    await registrar.register(instance(version="8"), CHECKS)
    assert ((await found(catalog)).version, (await found(catalog)).health) == ("8", Health.CRITICAL)
    await registrar.heartbeat(instance().id)
    await registrar.maintenance(instance().id, enable=True, reason="disk")
    await registrar.register(instance(version="9"), CHECKS)
    assert ((await found(catalog)).health, (await found(catalog)).output) == (Health.MAINTENANCE, "disk")
    await registrar.maintenance(instance().id, enable=False)
    assert (await found(catalog)).health is Health.PASSING


async def test_the_next_process_ends_the_last_ones_leaving(catalog: Catalog, registrar: CatalogRegistrar) -> None:
    """A process that starts where one was killed while it left is in rotation; an operator's maintenance stays."""
    await registrar.register(instance(), CHECKS)
    await registrar.maintenance(instance().id, enable=True, reason=LEAVING)
    await registrar.register(instance(boot="boot2"), CHECKS)
    assert (await found(catalog)).health is Health.PASSING
    await registrar.maintenance(instance().id, enable=True, reason="disk")
    await registrar.register(instance(boot="boot3"), CHECKS)
    assert (await found(catalog)).health is Health.MAINTENANCE


async def test_leaving_does_not_end_a_drain(catalog: Catalog, registrar: CatalogRegistrar) -> None:
    """A drained worker that leaves and is killed keeps the operator's reason; its next process stays drained."""
    await registrar.register(instance(), CHECKS)
    await registrar.maintenance(instance().id, enable=True, reason="disk")
    await registrar.maintenance(instance().id, enable=True, reason=LEAVING)
    assert (await found(catalog)).output == "disk"
    await registrar.register(instance(boot="boot2"), CHECKS)
    assert (await found(catalog)).health is Health.MAINTENANCE


async def test_a_heartbeat_writes_only_a_change(catalog: Catalog, registrar: CatalogRegistrar) -> None:
    """Heartbeats of a healthy worker do not wake those who follow its service."""
    await registrar.register(instance(), CHECKS)
    before = (await catalog.health("classify")).index
    await registrar.heartbeat(instance().id)
    assert (await catalog.health("classify")).index == before
    await registrar.silence(instance().id, note="it hangs")
    assert (await found(catalog)).output == "it hangs"


async def test_the_unknown_is_forgotten(registrar: CatalogRegistrar) -> None:
    """What the catalogue does not hold is Forgotten to every report, and is not written by it."""
    for report in (
        registrar.heartbeat("nobody"),
        registrar.silence("nobody", note=""),
        registrar.maintenance("nobody", enable=True),
    ):
        with pytest.raises(Forgotten):
            await report
    assert not await registrar.knows("nobody", boot="")
    assert await registrar.failing_check("nobody") is None


async def test_what_a_lookup_service_cannot_check_is_refused(registrar: CatalogRegistrar) -> None:
    """A worker without a health path, or one whose certificate names something else, is not registered unchecked."""
    for unchecked in (replace(CHECKS, health_url=None), replace(CHECKS, tls_server_name="gpu1")):
        with pytest.raises(ConsulRefused, match="--no-agent-check and --agent-check-name, or register at an agent"):
            await registrar.register(instance(), unchecked)


async def test_an_agents_sync_leaves_it_alone(
    consul: ConsulProcess, catalog: Catalog, registrar: CatalogRegistrar
) -> None:
    """An agent that restarts compares the catalogue with what it knows, and removes only what is of its own node."""
    await registrar.register(instance(), CHECKS)
    await asyncio.to_thread(consul.stop)
    await asyncio.to_thread(consul.start)

    async def synced() -> bool:
        return await catalog.has_leader() and "consul" in (await catalog.services())[1]

    await until(synced, within_s=20)
    assert (await found(catalog)).health is Health.PASSING


async def test_a_worker_stays_registered(
    consul: ConsulProcess, catalog: Catalog, registrar: CatalogRegistrar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker's registration comes back when somebody removes its node, says maintenance first, and leaves no node."""
    monkeypatch.setattr(worker.registration, "HEARTBEAT_S", 0.2)
    settings = ConsulSettings(url=consul.url)
    async with Registration(settings, instance(), CHECKS, place=RegisterAt.CATALOG) as registration:
        await registrar.deregister(instance().id)

        async def back() -> bool:
            return bool((await catalog.health("classify")).instances)

        await until(back)
        await registration.leave()
        assert (await found(catalog)).health is Health.MAINTENANCE
    assert not await back()


def test_a_node_is_a_dns_label() -> None:
    """The name of a node can stand in Consul's DNS, whatever the address looks like."""
    assert node_of("classify-10.0.0.5-9001") == "p2p-classify-10-0-0-5-9001"
    assert node_of("classify-fd00::5-9001") == "p2p-classify-fd00-5-9001"
