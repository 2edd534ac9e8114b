"""What stands in the nodes of a real ZooKeeper: garbage, earlier processes' registrations, what the check found."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from kazoo.client import KazooClient

from registry.backend.checks import Checks
from registry.backend.errors import BackendRefused
from registry.backend.registrar import LEAVING
from registry.discovery.directory import Directory
from registry.instances.instance import Health, Instance
from registry.zookeeper.registrar import ZooKeeperRegistrar
from registry.zookeeper.registrations import ZooKeeperRegistrations
from registry.zookeeper.settings import ZooKeeperSettings
from registry.zookeeper.source import ZooKeeperSource
from tests.support.servers.zookeeper_process import Ensemble
from tests.support.waiting import until

HEARTBEATS = Checks(health_url=None)

WORKER = Instance("classify", "classify-127.0.0.1-9001", "127.0.0.1", 9001, boot="boot1")


@pytest.fixture
def settings(zookeeper: Ensemble) -> ZooKeeperSettings:
    return zookeeper.settings(root=f"/{uuid.uuid4().hex}")


@pytest.fixture
async def source(settings: ZooKeeperSettings) -> AsyncIterator[ZooKeeperSource]:
    source = ZooKeeperSource(settings)
    yield source
    await source.close()


@pytest.fixture
async def new_registrar(settings: ZooKeeperSettings) -> AsyncIterator[Callable[[], ZooKeeperRegistrar]]:
    """Makes registrars, each as of a process of its own."""
    made: list[ZooKeeperRegistrar] = []

    def new() -> ZooKeeperRegistrar:
        made.append(ZooKeeperRegistrar(settings))
        return made[-1]

    yield new
    for registrar in made:
        await registrar.close()


async def put(source: ZooKeeperSource, path: str, data: bytes) -> None:
    """Write a node below our root, as anybody may."""

    def write(client: KazooClient) -> Any:
        return client.create_async(f"{source._settings.root}/services/{path}", data, makepath=True)

    await source.session.call(write)


GARBAGE = [
    b"",
    b"\xff\xfe",
    b"[]",
    b'"text"',
    b"{}",
    b'{"Service": 1, "Checks": []}',
    b'{"Service": {"ID": "bad"}, "Checks": [{}]}',
    b"[" * 100_000,
    json.dumps({"Service": {"ID": "bad", "Service": "classify", "Address": ["a"], "Port": 1}, "Checks": []}).encode(),
]


@pytest.mark.parametrize("data", GARBAGE, ids=range(len(GARBAGE)))
async def test_garbage_in_a_node_harms_nobody_else(
    source: ZooKeeperSource, new_registrar: Callable[[], ZooKeeperRegistrar], data: bytes
) -> None:
    """It is left out, and said to be; the others are handed out."""
    await new_registrar().register(WORKER, HEARTBEATS)
    await put(source, "classify/bad", data)
    answer = await source.health("classify")
    assert [instance.id for instance in answer.instances] == [WORKER.id]
    assert [(entry.id, entry.reason) for entry in answer.unusable] == [("bad", "its node's data is not a registration")]


async def test_a_node_stands_for_itself_alone(source: ZooKeeperSource) -> None:
    """A registration of another id, of another service, or without an address that can be used is left out."""
    service = {"ID": "a", "Service": "classify", "Address": "127.0.0.1", "Port": 9001}
    for name, changes in {"a": {"Port": 0}, "b": {}, "c": {"ID": "c", "Service": "other"}}.items():
        await put(source, f"classify/{name}", json.dumps({"Service": service | changes, "Checks": []}).encode())
    answer = await source.health("classify")
    assert answer.instances == ()
    assert [entry.reason for entry in answer.unusable] == [
        "port 0 is not from 1 to 65535",
        "its node's data is another instance's",
        "its node's data is another instance's",
    ]


async def test_garbage_cannot_be_drained(settings: ZooKeeperSettings, source: ZooKeeperSource) -> None:
    """The refusal names the node."""
    service = {"ID": "a", "Service": "classify", "Address": "127.0.0.1", "Port": 9001}
    await put(source, "classify/a", json.dumps({"Service": service, "Checks": []}).encode())
    registrations = ZooKeeperRegistrations(settings)
    (found,) = await registrations.changeable()
    path = f"{settings.root}/services/classify/a"
    await source.session.call(lambda client: client.set_async(path, b"garbage"))
    with pytest.raises(BackendRefused, match="node of a does not hold"):
        await registrations.maintenance(found, enable=True, reason="repair")
    await registrations.close()


async def test_a_process_takes_its_place_from_an_earlier_one(
    source: ZooKeeperSource, new_registrar: Callable[[], ZooKeeperRegistrar]
) -> None:
    """A worker that starts again at its port replaces the node of the killed one, and is not leaving."""
    killed, started = new_registrar(), new_registrar()
    await killed.register(WORKER, HEARTBEATS)
    await killed.maintenance(WORKER.id, enable=True, reason=LEAVING)
    async with Directory(source, default="classify") as directory:
        service = directory.followed("classify")
        assert service is not None
        await until(lambda: bool(service.snapshot.instances))
        await started.register(replace(WORKER, boot="boot2"), HEARTBEATS)
        await until(lambda: [each.boot for each in service.snapshot.eligible] == ["boot2"])
    assert not await killed.knows(WORKER.id, boot="boot1")
    await killed.deregister(WORKER.id)
    await killed.close()
    assert await started.knows(WORKER.id, boot="boot2")


async def test_an_operator_s_maintenance_outlives_the_process(
    source: ZooKeeperSource, new_registrar: Callable[[], ZooKeeperRegistrar]
) -> None:
    """A drained worker that is killed and starts again while its node is there stays drained."""
    killed, started = new_registrar(), new_registrar()
    await killed.register(WORKER, HEARTBEATS)
    await killed.maintenance(WORKER.id, enable=True, reason="repair")
    await started.register(replace(WORKER, boot="boot2"), HEARTBEATS)
    (found,) = (await source.health("classify")).instances
    assert (found.boot, found.health, found.output) == ("boot2", Health.MAINTENANCE, "repair")


class HealthPath:
    """A server whose health path answers with `status`."""

    def __init__(self) -> None:
        self.status = 200

    async def answer(self, _: web.Request) -> web.Response:
        return web.Response(status=self.status)


async def test_the_health_path_is_written_into_the_node(
    source: ZooKeeperSource, new_registrar: Callable[[], ZooKeeperRegistrar]
) -> None:
    """429 is a warning, another status critical after two failures, a closed port refused, as Consul's check says."""
    path, app = HealthPath(), web.Application()
    app.router.add_get("/healthz", path.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/healthz"
    registrar = new_registrar()
    try:
        await registrar.register(WORKER, Checks(url, interval_s=0.02, ttl_s=None))

        async def is_(health: Health) -> bool:
            return [each.health for each in (await source.health("classify")).instances] == [health]

        for status, health in ((429, Health.WARNING), (500, Health.CRITICAL), (200, Health.PASSING)):
            path.status = status
            await until(lambda health=health: is_(health), within_s=30)
            failing = await registrar.failing_check(WORKER.id)
            assert (failing is not None and "500" in failing) == (health is Health.CRITICAL)
    finally:
        await runner.cleanup()

    async def refused() -> bool:
        return (await source.health("classify")).instances[0].refused

    await until(refused, within_s=30)
