"""Who may do what in a real ZooKeeper: users of SASL and of the scheme digest, wrong passwords, access lists."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest
from kazoo.security import ACL, Id

from registry.backend.checks import Checks
from registry.backend.errors import BackendUnavailable, CredentialsRefused
from registry.backend.registrar import Registrar
from registry.backend.source import Source
from registry.discovery.directory import Directory
from registry.instances.instance import Health, Instance
from registry.zookeeper import session
from registry.zookeeper.registrar import ZooKeeperRegistrar
from registry.zookeeper.settings import Credentials, Grant, ZooKeeperSettings
from registry.zookeeper.source import ZooKeeperSource
from tests.support.command_process import free_port
from tests.support.servers.zookeeper_process import Ensemble
from tests.support.waiting import until
from worker.registration import Registration

HEARTBEATS = Checks(health_url=None)

WORKER = Instance("classify", "classify-127.0.0.1-9001", "127.0.0.1", 9001, boot="boot1")


def user(settings: ZooKeeperSettings, name: str, *, scheme: str = "sasl", password: str = "") -> ZooKeeperSettings:
    return replace(settings, credentials=Credentials(scheme, name, password or f"{name}-secret"))


@pytest.fixture
def settings(zookeeper: Ensemble) -> ZooKeeperSettings:
    return zookeeper.settings(root=f"/{uuid.uuid4().hex}")


async def test_a_wrong_password_ends_the_start_with_a_sentence(settings: ZooKeeperSettings) -> None:
    """A worker that cannot authenticate ends, and the sentence says where the password stands, and not what it is."""
    place = Registration(user(settings, "worker", password="guessed"), WORKER, HEARTBEATS)
    with pytest.raises(CredentialsRefused, match=r"does not accept the user 'worker'.*P2P_ZOOKEEPER_AUTH") as caught:
        async with place:
            pass
    assert "guessed" not in str(caught.value)


async def test_a_lookup_with_a_wrong_password_says_so(settings: ZooKeeperSettings) -> None:
    """It goes on trying, answers that it knows nothing yet, and says why."""
    source = ZooKeeperSource(user(settings, "lookup", password="guessed"))
    async with Directory(source, default="classify") as directory:
        service = directory.followed("classify")
        assert service is not None
        await until(lambda: "does not accept the user 'lookup'" in service.watch.trouble, within_s=30)
        assert not service.snapshot.known
    await source.close()


@pytest.mark.parametrize("scheme", ["sasl", "digest"])
async def test_the_list_decides(settings: ZooKeeperSettings, scheme: str) -> None:
    """Who made a node may do everything, a reader read, a stranger nothing: neither read, nor write, nor register."""
    reader = Grant("sasl", "lookup", 1)
    registrar = ZooKeeperRegistrar(replace(user(settings, "worker", scheme=scheme), grants=(reader,)))
    sources = {name: ZooKeeperSource(user(settings, name)) for name in ("lookup", "stranger")}
    lookup_as_worker = ZooKeeperRegistrar(user(settings, "lookup"))
    try:
        await registrar.register(WORKER, HEARTBEATS)
        await registrar.silence(WORKER.id, note="stuck")
        found = await sources["lookup"].health("classify")
        assert [each.health for each in found.instances] == [Health.CRITICAL]
        assert list((await sources["lookup"].services())[1]) == ["classify"]
        with pytest.raises(CredentialsRefused, match=r"the user 'stranger'.*may not"):
            await sources["stranger"].health("classify")
        with pytest.raises(CredentialsRefused, match=r"the user 'lookup'.*may not"):
            await lookup_as_worker.register(replace(WORKER, id="mine", boot="boot2"), HEARTBEATS)
    finally:
        await _close(registrar, lookup_as_worker, *sources.values())


async def test_the_least_rights(settings: ZooKeeperSettings) -> None:
    """Create and delete in its service's node are enough for a worker, and reading is for a lookup service."""
    owner, reader = ZooKeeperRegistrar(user(settings, "lookup")), Grant("sasl", "lookup", 1)
    worker = replace(user(settings, "worker"), grants=(reader,))
    first, second, source = ZooKeeperRegistrar(worker), ZooKeeperRegistrar(worker), ZooKeeperSource(worker)
    lookup = ZooKeeperSource(user(settings, "lookup"))
    try:
        await owner.register(WORKER, HEARTBEATS)
        await owner.deregister(WORKER.id)
        path, create_and_delete = f"{settings.root}/services/classify", 4 | 8
        acl = [ACL(1, Id("sasl", "lookup")), ACL(create_and_delete, Id("sasl", "worker"))]
        await owner._session.call(lambda client: client.set_acls_async(path, acl))
        await first.register(WORKER, HEARTBEATS)
        await second.register(replace(WORKER, boot="boot2"), HEARTBEATS)
        await second.silence(WORKER.id, note="stuck")
        assert [each.boot for each in (await lookup.health("classify")).instances] == ["boot2"]
        with pytest.raises(CredentialsRefused, match="may not"):
            await source.health("classify")
        await second.deregister(WORKER.id)
        assert (await lookup.health("classify")).instances == ()
    finally:
        await _close(owner, first, second, source, lookup)


async def test_rights_that_are_lost_empty_nothing(settings: ZooKeeperSettings) -> None:
    """A lookup that may no longer read serves the last good set, marked stale: refused is not empty."""
    registrar = ZooKeeperRegistrar(user(settings, "worker"))
    source = ZooKeeperSource(user(settings, "worker"))
    try:
        await registrar.register(WORKER, HEARTBEATS)
        async with Directory(source, default="classify") as directory:
            service = directory.followed("classify")
            assert service is not None
            await until(lambda: bool(service.snapshot.eligible), within_s=30)
            path = f"{settings.root}/services/classify"
            await registrar._session.call(lambda client: client.set_acls_async(path, _nobody()))
            await registrar.deregister(WORKER.id)
            await until(lambda: service.snapshot.stale, within_s=30)
            assert [each.id for each in service.snapshot.eligible] == [WORKER.id]
            assert "may not" in service.watch.trouble
    finally:
        await _close(registrar, source)


async def test_where_nobody_listens(settings: ZooKeeperSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an outage with a sentence, and not a service without instances."""
    monkeypatch.setattr(session, "CONNECTION_WAIT_S", 0.2)
    away = replace(settings, hosts=(f"127.0.0.1:{free_port()}",))
    source = ZooKeeperSource(away)
    with pytest.raises(BackendUnavailable, match="cannot be reached"):
        await source.health("classify")
    assert not await source.has_leader()
    await source.close()


def _nobody() -> list[ACL]:
    return [ACL(8, Id("world", "anyone"))]  # delete alone


async def _close(*connections: Registrar | Source) -> None:
    for each in connections:
        await each.close()
