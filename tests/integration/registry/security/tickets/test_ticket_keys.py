"""Ticket keys in a real Consul while lookup services sign and a worker checks: rotate, revoke, outages, restarts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import jwt
import pytest

from registry.consul.key_value import KeyValue
from registry.consul.settings import ConsulSettings
from registry.runtime.errors import SettingsError
from registry.security.tickets import key_commands, key_rotation, signing_keys
from registry.security.tickets.key_folder import KeyFolder
from registry.security.tickets.public_key import PREFIX
from registry.server import RunningRegistry, running
from registry.settings import RegistrySettings
from tests.support import photos
from tests.support.consul_process import ConsulProcess
from tests.support.waiting import until
from tests.support.workers.echo_worker import EchoWorker, echo_worker

IMAGE = photos.chelsea_jpeg()


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys are learned and looked at within a fraction of the usual time."""
    monkeypatch.setattr(key_rotation, "LEARNING_S", 1)
    monkeypatch.setattr(signing_keys, "LOOK_S", 0.1)


@asynccontextmanager
async def lookup_host(
    consul: ConsulProcess, folder: Path, *, lifetime_s: int = 60, state: Path | None = None
) -> AsyncIterator[RunningRegistry]:
    settings = RegistrySettings(
        ConsulSettings(url=consul.url),
        port=0,
        service="echo",
        state=state,
        ticket_keys=folder,
        ticket_lifetime_s=lifetime_s,
    )
    async with running(settings) as registry:
        yield registry


async def handed(worker: EchoWorker, registry: RunningRegistry) -> str:
    """The address with its ticket, as soon as the lookup service hands it out."""

    async def found() -> str:
        async with worker.http.get(f"{registry.url}/next") as answer:
            return await answer.text() if answer.status == 200 else ""

    return (await until(found)).strip()


async def status(worker: EchoWorker, address: str) -> int:
    async with worker.http.post(f"http://{address}", data=IMAGE) as answer:
        return answer.status


def key_id(address: str) -> str:
    return str(jwt.get_unverified_header(address.partition("ticket=")[2])["kid"])


async def accepted(worker: EchoWorker, registry: RunningRegistry) -> str:
    """The first address that the worker accepts, and from then on accepts at once."""

    async def works() -> str:
        address = await handed(worker, registry)
        return address if await status(worker, address) == 200 else ""

    return await until(works)


@asynccontextmanager
async def store_of(consul: ConsulProcess) -> AsyncIterator[KeyValue]:
    store = KeyValue(ConsulSettings(url=consul.url))
    try:
        yield store
    finally:
        await store.close()


async def test_the_first_start_makes_a_key_of_which_consul_gets_the_public_half(
    consul: ConsulProcess, tmp_path: Path
) -> None:
    folder = tmp_path / "keys"
    async with (
        echo_worker(consul.url, require_ticket=True) as worker,
        lookup_host(consul, folder) as registry,
        store_of(consul) as store,
    ):
        address = await accepted(worker, registry)
        (key,) = KeyFolder(folder).load()
        assert key_id(address) == key.key_id
        entries = await store.under(PREFIX)
        assert entries.values.keys() == {key.key_id}
        assert key.private.private_bytes_raw().hex().encode() not in entries.values[key.key_id]
        assert b'"d"' not in entries.values[key.key_id]


async def test_two_lookup_hosts_each_sign_with_a_key_of_their_own(consul: ConsulProcess, tmp_path: Path) -> None:
    async with (
        echo_worker(consul.url, require_ticket=True) as worker,
        lookup_host(consul, tmp_path / "one") as one,
        lookup_host(consul, tmp_path / "two") as two,
    ):
        first, second = await accepted(worker, one), await accepted(worker, two)
        assert key_id(first) != key_id(second)
        assert await status(worker, first) == 200


async def test_processes_of_one_host_come_to_sign_with_the_same_key(consul: ConsulProcess, tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    async with (
        echo_worker(consul.url, require_ticket=True) as worker,
        lookup_host(consul, folder) as one,
        lookup_host(consul, folder) as two,
    ):

        async def agree() -> bool:
            return key_id(await accepted(worker, one)) == key_id(await accepted(worker, two))

        await until(agree)


async def test_a_rotation_is_not_noticed_by_callers(consul: ConsulProcess, tmp_path: Path) -> None:
    """The new key signs when workers know it, and what the old one has signed stays good until it expires."""
    folder = tmp_path / "keys"
    async with (
        echo_worker(consul.url, require_ticket=True) as worker,
        lookup_host(consul, folder) as registry,
        store_of(consul) as store,
    ):
        before = await accepted(worker, registry)
        said = await key_commands.rotate(store, folder)
        old, new = key_id(before), KeyFolder(folder).load()[-1].key_id
        assert said.startswith(f"The key {new} is made and published")
        seen = set()
        deadline_s = time.monotonic() + 15
        while new not in seen and time.monotonic() < deadline_s:
            address = await handed(worker, registry)
            seen.add(key_id(address))
            assert await status(worker, address) == 200
            assert await status(worker, before) == 200
        assert seen == {old, new}
        assert (await store.under(PREFIX)).values.keys() == {old, new}
        assert [line.split()[1] for line in (await key_commands.listed(store, folder)).splitlines()[1:]] == ["*", "*"]


async def test_an_old_key_goes_when_its_tickets_have_expired(
    consul: ConsulProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_rotation, "SKEW_S", 0)
    folder = tmp_path / "keys"
    async with lookup_host(consul, folder, lifetime_s=1), store_of(consul) as store:
        await until(lambda: KeyFolder(folder).load())
        (old,) = KeyFolder(folder).load()
        await key_commands.rotate(store, folder)

        async def only_the_new() -> bool:
            return len((await store.under(PREFIX)).values) == 1

        await until(only_the_new)
        (new,) = KeyFolder(folder).load()
        assert new.key_id != old.key_id
        assert (await store.under(PREFIX)).values.keys() == {new.key_id}


async def test_a_revoked_key_is_refused_while_serving_and_its_host_makes_another(
    consul: ConsulProcess, tmp_path: Path
) -> None:
    folder = tmp_path / "keys"
    async with (
        echo_worker(consul.url, require_ticket=True) as worker,
        lookup_host(consul, folder) as registry,
        store_of(consul) as store,
    ):
        before = await accepted(worker, registry)
        await key_commands.revoke(store, key_id(before))

        async def refused() -> bool:
            return await status(worker, before) == 401

        await until(refused)
        after = await accepted(worker, registry)
        assert key_id(after) != key_id(before)
        assert [key.key_id for key in KeyFolder(folder).load()] == [key_id(after)]
        assert await status(worker, before) == 401

        async def forgotten() -> bool:
            return (await store.under(PREFIX)).values.keys() == {key_id(after)}

        await until(forgotten)


async def test_a_key_of_a_host_that_is_away_stays_revoked(consul: ConsulProcess, tmp_path: Path) -> None:
    """The lookup service that comes back finds the revocation and never publishes the key again."""
    folder = tmp_path / "keys"
    async with echo_worker(consul.url, require_ticket=True) as worker, store_of(consul) as store:
        async with lookup_host(consul, folder) as registry:
            before = await accepted(worker, registry)
        await key_commands.revoke(store, key_id(before))
        assert "revoked" in await key_commands.listed(store, None)
        async with lookup_host(consul, folder) as registry:

            async def another() -> bool:
                return key_id(await handed(worker, registry)) != key_id(before)

            await until(another)
            assert key_id(await accepted(worker, registry)) != key_id(before)
            assert await status(worker, before) == 401


async def test_keys_hold_while_consul_is_away_and_over_a_restart(consul: ConsulProcess, tmp_path: Path) -> None:
    """Without Consul a worker checks, and a lookup service that is started again signs, with what they know."""
    folder, state = tmp_path / "keys", tmp_path / "state.json"
    async with echo_worker(consul.url, require_ticket=True) as worker:
        async with lookup_host(consul, folder, state=state) as registry:
            before = await accepted(worker, registry)
            await asyncio.to_thread(consul.stop)
            assert await status(worker, before) == 200
            assert await status(worker, await handed(worker, registry)) == 200
        async with lookup_host(consul, folder, state=state) as registry:
            assert await status(worker, await handed(worker, registry)) == 200
        await asyncio.to_thread(consul.start)
        async with lookup_host(consul, folder) as registry:
            after = await accepted(worker, registry)
            assert key_id(after) == key_id(before)


async def test_a_consul_that_lost_its_data_gets_the_keys_again(consul: ConsulProcess, tmp_path: Path) -> None:
    async with (
        echo_worker(consul.url, require_ticket=True) as worker,
        lookup_host(consul, tmp_path / "keys") as registry,
        store_of(consul) as store,
    ):
        before = await accepted(worker, registry)
        await store.delete(f"{PREFIX}{key_id(before)}")

        async def back() -> bool:
            return not (await store.under(PREFIX)).missing

        await until(back)
        assert await status(worker, before) == 200


async def test_a_worker_that_never_reached_consul_asks_to_come_again(consul: ConsulProcess, tmp_path: Path) -> None:
    async with lookup_host(consul, tmp_path / "keys"):
        pass
    await asyncio.to_thread(consul.stop)
    async with echo_worker(consul.url, require_ticket=True) as worker:
        answer = await worker.post("/?ticket=a.b.c", IMAGE)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        assert "has not learned from Consul" in answer.error
    await asyncio.to_thread(consul.start)


async def test_a_folder_that_others_may_read_stops_the_start(consul: ConsulProcess, tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir(mode=0o755)
    with pytest.raises(SettingsError, match="others may read"):
        async with lookup_host(consul, tmp_path / "keys"):
            pass


async def test_only_keys_that_exist_can_be_revoked(consul: ConsulProcess) -> None:
    async with store_of(consul) as store:
        with pytest.raises(SettingsError, match="Consul holds no ticket key 'nothing'"):
            await key_commands.revoke(store, "nothing")
        assert "Consul holds no ticket keys" in await key_commands.listed(store, None)
