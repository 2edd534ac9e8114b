"""Lookups and registrations while servers of a real ensemble are killed, stopped, cut off, or without their data."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace

import pytest
from kazoo.client import KazooClient

import worker.registration
from registry.backend.checks import Checks
from registry.discovery.directory import Directory
from registry.discovery.leader_watch import watch_leader
from registry.discovery.service import Service
from registry.instances.instance import Health, Instance
from registry.runtime.tasks.supervise import supervised
from registry.zookeeper.registrar import ZooKeeperRegistrar
from registry.zookeeper.settings import ZooKeeperSettings
from registry.zookeeper.source import ZooKeeperSource
from tests.support.servers.zookeeper_process import Ensemble
from tests.support.waiting import until
from worker.registration import Registration

HEARTBEATS = Checks(health_url=None)

SHORT_S, LONG_SESSION_S = 4.0, 40.0
"""Sessions whose end a test waits for or can live with, and such as do not end by chance."""

LONG_S = 60.0
"""A bound for what takes a few seconds."""


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heartbeats often, so that a lost registration is noticed soon."""
    monkeypatch.setattr(worker.registration, "HEARTBEAT_S", 0.2)


@pytest.fixture
def settings(three: Ensemble) -> ZooKeeperSettings:
    return three.settings(session_timeout_s=LONG_SESSION_S, root=f"/{uuid.uuid4().hex}")


@pytest.fixture
def brief(settings: ZooKeeperSettings) -> ZooKeeperSettings:
    """The same with short sessions."""
    return replace(settings, session_timeout_s=SHORT_S)


def instance(port: int = 9001) -> Instance:
    return Instance("classify", f"classify-127.0.0.1-{port}", "127.0.0.1", port, boot=f"boot{port}")


@asynccontextmanager
async def following(settings: ZooKeeperSettings) -> AsyncIterator[Service]:
    """The service classify, as a lookup process follows it."""
    source = ZooKeeperSource(settings)
    try:
        async with Directory(source, default="classify") as directory:

            async def watch() -> None:
                await watch_leader(source, directory, every_s=0.2)

            async with supervised("watch the leader", watch):
                service = directory.followed("classify")
                assert service is not None
                yield service
    finally:
        await source.close()


@contextmanager
def never_without(service: Service, *ids: str) -> Iterator[None]:
    """At no change within are these instances not handed out."""
    without = []
    changed = service.watch._changed

    def check(snapshot: object) -> None:
        changed(snapshot)  # type: ignore[arg-type]  # whatever the watch says
        if not set(ids) <= {each.id for each in service.snapshot.eligible}:
            without.append(service.snapshot)

    service.watch._changed = check
    yield
    service.watch._changed = changed
    assert not without


async def fresh(service: Service, *ports: int) -> None:
    """Wait until exactly these workers are handed out, and ZooKeeper confirms it."""

    def exactly() -> bool:
        snapshot = service.snapshot
        return not snapshot.stale and sorted(each.port for each in snapshot.eligible) == list(ports)

    await until(exactly, within_s=LONG_S)


async def end_session(settings: ZooKeeperSettings, client: KazooClient) -> None:
    """Have the servers end a client's session as if its time were over: another connection closes it."""
    twin = KazooClient(",".join(settings.hosts), client_id=client.client_id)

    def close() -> None:
        twin.start()
        twin.stop()
        twin.close()

    await asyncio.to_thread(close)


async def test_servers_are_killed_one_by_one(three: Ensemble, brief: ZooKeeperSettings) -> None:
    """The leader is not missed; without a quorum the last good set is served, stale, and confirmed again with one."""
    async with following(brief) as service, Registration(brief, instance(), HEARTBEATS) as place:
        await fresh(service, 9001)
        with never_without(service, place.instance.id):
            await asyncio.to_thread(three.leader.kill)
            await asyncio.to_thread(three.wait_for_quorum)
            await place.update(replace(place.instance, version="2"))
            await until(lambda: [each.version for each in service.snapshot.instances] == ["2"], within_s=LONG_S)
            await fresh(service, 9001)

            await asyncio.to_thread(three.leader.kill)
            await until(lambda: service.snapshot.stale, within_s=LONG_S)
            assert [each.id for each in service.snapshot.eligible] == [place.instance.id]
            assert "ZooKeeper" in service.watch.trouble
            await asyncio.to_thread(three.start)
            await fresh(service, 9001)


async def test_a_partition(three: Ensemble, brief: ZooKeeperSettings) -> None:
    """Servers that say nothing are like none: stale, and fresh when they answer again, with the worker in its place."""
    async with following(brief) as service, Registration(brief, instance(), HEARTBEATS) as place:
        await fresh(service, 9001)
        with never_without(service, place.instance.id):
            three.freeze()
            try:
                await until(lambda: service.snapshot.stale, within_s=LONG_S)
                assert [each.id for each in service.snapshot.eligible] == [place.instance.id]
            finally:
                three.thaw()
            await fresh(service, 9001)


async def test_a_worker_s_session_expires(settings: ZooKeeperSettings) -> None:
    """Its node is gone with the session; the living worker takes its place again, and its maintenance with it."""
    async with following(settings) as service, Registration(settings, instance(), HEARTBEATS) as place:
        await fresh(service, 9001)
        registrar = place._registrar
        assert isinstance(registrar, ZooKeeperRegistrar)
        session = registrar._session
        await end_session(settings, session._client)
        with never_without(service, place.instance.id):  # the last one that disappears is held
            first = session.id
            await until(lambda: session.id not in (None, first), within_s=LONG_S)
            await fresh(service, 9001)


async def test_a_maintenance_outlives_the_session(settings: ZooKeeperSettings) -> None:
    """A drained worker whose session expires comes back drained."""
    source = ZooKeeperSource(settings)
    registrar = ZooKeeperRegistrar(settings)
    try:
        await registrar.register(instance(), HEARTBEATS)
        await registrar.maintenance(instance().id, enable=True, reason="repair")
        session, first = registrar._session, registrar._session.id
        await end_session(settings, session._client)
        await until(lambda: session.id not in (None, first), within_s=LONG_S)
        assert not await registrar.knows(instance().id, boot="boot9001")
        await registrar.register(instance(), HEARTBEATS)
        (found,) = (await source.health("classify")).instances
        assert (found.health, found.output) == (Health.MAINTENANCE, "repair")
    finally:
        await registrar.close()
        await source.close()


async def test_a_worker_that_vanishes(settings: ZooKeeperSettings) -> None:
    """Of several the one whose session ends is gone at once; the last one is held, as a disappearance of Consul's."""
    one, two = ZooKeeperRegistrar(settings), ZooKeeperRegistrar(settings)
    try:
        async with following(settings) as service:
            await one.register(instance(9001), HEARTBEATS)
            await two.register(instance(9002), HEARTBEATS)
            await fresh(service, 9001, 9002)
            await two.close()
            await fresh(service, 9001)
            assert service.snapshot.held_until_s is None
            await one.close()
            await until(lambda: service.snapshot.held_until_s is not None, within_s=LONG_S)
            assert [each.port for each in service.snapshot.eligible] == [9001]
    finally:
        await one.close()
        await two.close()


async def test_a_lookup_s_session_expires(settings: ZooKeeperSettings) -> None:
    """It begins another one, with new watches: no change is missed, and nothing seems to be gone."""
    async with following(settings) as service, Registration(settings, instance(), HEARTBEATS) as place:
        await fresh(service, 9001)
        source = service.watch._source
        assert isinstance(source, ZooKeeperSource)
        first = source.session.id
        with never_without(service, place.instance.id):
            await end_session(settings, source.session._client)
            await until(lambda: source.session.id not in (None, first), within_s=LONG_S)
            await place.update(replace(place.instance, version="2"))
            await until(lambda: [each.version for each in service.snapshot.instances] == ["2"], within_s=LONG_S)
        await fresh(service, 9001)


async def test_servers_that_have_lost_their_data(three: Ensemble, brief: ZooKeeperSettings) -> None:
    """They know nobody and refuse clients that have seen more: lookups hold the set until the workers are back."""
    async with following(brief) as service, Registration(brief, instance(), HEARTBEATS) as place:
        await fresh(service, 9001)
        with never_without(service, place.instance.id):
            await asyncio.to_thread(three.stop)
            for server in three.servers:
                server.wipe()
            await asyncio.to_thread(three.start)
            await fresh(service, 9001)
            await until(lambda: service.snapshot.held_until_s is None, within_s=LONG_S)
