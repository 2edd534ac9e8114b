"""What the lookup service and workers rely on, of Consul and of ZooKeeper alike: real ones of both."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

import registry.zookeeper.registrar
import registry.zookeeper.registrations  # noqa: F401  importing them takes longer than an event loop may be held
from registry.backend.checks import Checks
from registry.backend.errors import Forgotten
from registry.backend.registrar import Registrar
from registry.backend.registrations import Registrations, named
from registry.backend.source import Source
from registry.chosen_backend import BackendSettings, open_registrar
from registry.instances.instance import TAG, Health, Instance, RegisterAt
from tests.support.waiting import until

HEARTBEATS = Checks(health_url=None)


@pytest.fixture
async def registrar(backend: BackendSettings) -> AsyncIterator[Registrar]:
    registrar = open_registrar(backend, RegisterAt.AGENT)
    yield registrar
    await registrar.close()


@pytest.fixture
def instance() -> Instance:
    """A worker of a service that no other test uses."""
    service = f"s{uuid.uuid4().hex[:8]}"
    return Instance(
        service, f"{service}-127.0.0.1-9001", "127.0.0.1", 9001, weight=3, version="7", tags=("version-7",), boot="b1"
    )


async def test_what_is_registered_is_found(source: Source, registrar: Registrar, instance: Instance) -> None:
    """All fields of a registration come back, the worker is passing, and its service is listed with our tag."""
    await registrar.register(replace(instance, meta={"scheme": "https", "auth": "token"}), HEARTBEATS)
    (found,) = (await source.health(instance.service)).instances
    assert (found.id, found.address, found.weight, found.version) == (instance.id, "127.0.0.1:9001", 3, "7")
    assert (found.boot, found.tags, found.health) == ("b1", (TAG, "version-7"), Health.PASSING)
    assert (found.scheme, found.auth) == ("https", "token")
    _, services = await source.services()
    assert TAG in services[instance.service]
    assert source.own_services <= services.keys()


async def test_registering_again_changes_the_registration_alone(
    source: Source, registrar: Registrar, instance: Instance
) -> None:
    """Another version under the same id is one instance still, whose checks say what they said."""
    await registrar.register(instance, HEARTBEATS)
    await registrar.register(instance, HEARTBEATS)
    await registrar.maintenance(instance.id, enable=True, reason="repair")
    await registrar.register(replace(instance, version="8"), HEARTBEATS)
    (found,) = (await source.health(instance.service)).instances
    assert (found.version, found.health, found.output) == ("8", Health.MAINTENANCE, "repair")


async def test_instances_are_in_the_order_of_their_ids(
    backend: BackendSettings, source: Source, registrar: Registrar, instance: Instance
) -> None:
    """However they came, equal sets are equal answers; one that deregisters is gone."""
    second = replace(instance, id=f"{instance.service}-a", port=9002)
    other = open_registrar(backend, RegisterAt.AGENT)
    await registrar.register(instance, HEARTBEATS)
    await other.register(second, HEARTBEATS)
    answer = await source.health(instance.service)
    assert [found.port for found in answer.instances] == [9001, 9002]
    await other.deregister(second.id)
    await other.deregister(second.id)
    await other.close()
    assert [found.port for found in (await source.health(instance.service)).instances] == [9001]


async def test_a_query_waits_for_a_change(source: Source, registrar: Registrar, instance: Instance) -> None:
    """It returns when an instance comes or changes, and after its time where nothing does, with an index that grows."""
    empty = await source.health(instance.service)
    assert empty.instances == ()
    assert empty.index >= 1
    waiting = asyncio.create_task(source.health(instance.service, index=empty.index, wait_s=30))
    await registrar.register(instance, HEARTBEATS)
    came = await waiting
    while not came.instances:  # Consul may answer once more before
        came = await source.health(instance.service, index=came.index, wait_s=30)
    assert came.index > empty.index
    waiting = asyncio.create_task(source.health(instance.service, index=came.index, wait_s=30))
    await registrar.silence(instance.id, note="stuck")
    changed = await waiting
    assert [found.health for found in changed.instances] == [Health.CRITICAL]
    same = await source.health(instance.service, index=changed.index, wait_s=0.05)
    assert (same.instances, same.current) == (changed.instances, True)


async def test_the_list_of_services_waits_for_a_change(
    source: Source, registrar: Registrar, instance: Instance
) -> None:
    """A service appears with its first instance, and is gone with its last one."""
    index, before = await source.services()
    assert instance.service not in before
    await registrar.register(instance, HEARTBEATS)
    names = before
    while instance.service not in names:
        index, names = await source.services(index=index)
    await registrar.deregister(instance.id)
    while instance.service in names:
        index, names = await source.services(index=index)


async def test_heartbeats_say_how_a_worker_is(source: Source, registrar: Registrar, instance: Instance) -> None:
    """Silence is critical with its note, a heartbeat passes again; both are refused for what nobody registered."""
    with pytest.raises(Forgotten):
        await registrar.heartbeat(instance.id)
    await registrar.register(instance, HEARTBEATS)
    await registrar.silence(instance.id, note="the prediction loop does not move")
    (found,) = (await source.health(instance.service)).instances
    assert (found.health, found.output) == (Health.CRITICAL, "the prediction loop does not move")
    await registrar.heartbeat(instance.id)
    (found,) = (await source.health(instance.service)).instances
    assert found.health is Health.PASSING


async def test_a_registration_is_one_process_s(registrar: Registrar, instance: Instance) -> None:
    """It is known by its boot id, and no longer once it is deregistered."""
    await registrar.register(instance, HEARTBEATS)
    assert await registrar.knows(instance.id, boot="b1")
    assert not await registrar.knows(instance.id, boot="b2")
    assert await registrar.failing_check(instance.id) is None
    await registrar.deregister(instance.id)
    assert not await registrar.knows(instance.id, boot="b1")


async def test_an_operator_s_maintenance(
    source: Source, registrar: Registrar, registrations: Registrations, instance: Instance
) -> None:
    """It is set and ended by address, with its reason; heartbeats leave it; what is gone cannot be drained."""
    await registrar.register(instance, HEARTBEATS)
    found = [each for each in named(await registrations.changeable(), "localhost:9001") if each.id == instance.id]
    assert instance.id in {each.id for each in await registrations.known()}
    (registered,) = found
    await registrations.maintenance(registered, enable=True, reason="GPU swap")
    await registrar.heartbeat(instance.id)
    (drained,) = (await source.health(instance.service)).instances
    assert (drained.health, drained.output) == (Health.MAINTENANCE, "GPU swap")
    await registrations.maintenance(registered, enable=False)

    async def serving() -> bool:
        return (await source.health(instance.service)).instances[0].health is Health.PASSING

    await until(serving)
    await registrar.deregister(instance.id)
    with pytest.raises(Forgotten):
        await registrations.maintenance(registered, enable=True, reason="too late")


async def test_there_is_a_leader(source: Source) -> None:
    """Servers that answer have one, in a datacenter with a name."""
    await source.services()
    assert await source.has_leader()
    assert [await source.datacenter()] == await source.datacenters()
