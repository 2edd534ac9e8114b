"""Clients that ask Consul themselves follow the record of a split: a real Consul, and the embedded agent."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from p2pclient import AsyncClient
from registry.agent.server import serve_agent
from registry.consul.key_value import KeyValue
from registry.consul.settings import ConsulSettings
from registry.rollout.record import Rollout, key_of, written
from tests.support.consul_process import ConsulProcess
from tests.support.servers.protected_consul import ProtectedConsul
from tests.support.waiting import until
from tests.support.workers.versioned_worker import VersionedWorker, versioned_worker

JPEG = b"\xff\xd8 an image"


class Deployment:
    """Workers of versions 3 and 4, registered at the Consul at `url`, and the record of their service."""

    def __init__(self, url: str, store: KeyValue, service: str) -> None:
        self.service = service
        self.address = url.replace("http", "consul", 1)
        self.workers: list[VersionedWorker] = []
        self._store = store

    async def split(self, rollout: Rollout) -> None:
        await self._store.put(key_of(self.service), written(rollout))

    async def followed(self, client: AsyncClient, rollout: Rollout) -> None:
        """Split the calls, and wait until the client says so."""
        await self.split(rollout)

        async def told() -> bool:
            told = (await client.workers(self.service)).rollout
            return told is not None and (told.split, told.shadows) == (rollout.split, rollout.shadows)

        await until(told)

    @property
    def versions(self) -> dict[str, str]:
        return {worker.instance.address: worker.instance.version for worker in self.workers}


@asynccontextmanager
async def deployment(url: str, token: str | None = None) -> AsyncIterator[Deployment]:
    async with AsyncExitStack() as stack:
        store = KeyValue(ConsulSettings(url=url, token=token))
        stack.push_async_callback(store.close)
        it = Deployment(url, store, f"flowers-{uuid.uuid4().hex[:8]}")
        for version in "34":
            it.workers.append(await stack.enter_async_context(versioned_worker(url, it.service, version, token=token)))
        yield it


@pytest.fixture(params=["consul", "embedded agent"])
async def it(request: pytest.FixtureRequest) -> AsyncIterator[Deployment]:
    """At either kind of Consul."""
    async with AsyncExitStack() as stack:
        if request.param == "consul":
            url = request.getfixturevalue("shared_consul").url
        else:
            url = (await stack.enter_async_context(serve_agent(host="127.0.0.1", port=0))).url
        yield await stack.enter_async_context(deployment(url))


def picked(client: AsyncClient, service: str, count: int) -> Counter[str]:
    """Which versions this many calls would ask first."""
    channel = client._core.channel(service)
    picks = [channel.pick((), time.monotonic()) for _ in range(count)]
    return Counter(worker.version for worker in picks if worker is not None)


async def test_calls_follow_the_split(it: Deployment) -> None:
    """Of 1,000 calls exactly 900 ask version 3 first, and 100 once the record says so; answers come from both."""
    async with AsyncClient(it.address, service=it.service) as client:
        await client.classify(JPEG)
        await it.followed(client, Rollout({"3": 90, "4": 10}))
        assert picked(client, it.service, 1000) == {"3": 900, "4": 100}
        await it.followed(client, Rollout({"3": 10, "4": 90}))
        assert picked(client, it.service, 1000) == {"3": 100, "4": 900}
        answered = Counter([it.versions[(await client.classify(JPEG)).worker] for _ in range(20)])
        assert answered["4"] > answered["3"]
        await it.split(Rollout())

        async def ended() -> bool:
            return (await client.workers(it.service)).rollout is None

        await until(ended)


async def test_a_change_is_followed_soon(it: Deployment) -> None:
    """Usually within 10 ms; 50 are promised, and ten times as long is allowed here."""
    async with AsyncClient(it.address, service=it.service) as client:
        await client.classify(JPEG)
        took_s = []
        for only in ("4", "3") * 5:
            began_s = time.monotonic()
            await it.followed(client, Rollout({only: 1}))
            took_s.append(time.monotonic() - began_s)
        assert min(took_s) < 0.5


async def test_lookups_draw_by_the_split(it: Deployment) -> None:
    """With known dice: 200 lookups, within three standard deviations of the tenth that is version 4's."""
    await it.split(Rollout({"3": 90, "4": 10}))
    async with AsyncClient(it.address, service=it.service, routing="lookup") as client:
        client._core.source._chance = random.Random(1)
        await client.lookup()
        await until(lambda: client._core.source._watches[it.service].record.split)
        named = Counter([(await client.lookup()).version for _ in range(200)])
        assert abs(named["4"] - 20) <= 3 * (200 * 0.1 * 0.9) ** 0.5
        await it.split(Rollout({"4": 1}))

        async def all_of_version_4() -> bool:
            return {(await client.lookup()).version for _ in range(10)} == {"4"}

        await until(all_of_version_4)


async def test_a_shadow_gets_copies(it: Deployment) -> None:
    """Version 4 gets a copy of each call and no call."""
    async with AsyncClient(it.address, service=it.service) as client:
        await client.classify(JPEG)
        await it.followed(client, Rollout({"3": 1}, {"4": 100}))
        before = it.workers[1].answered
        for _ in range(3):
            await client.classify(JPEG)
        await until(lambda: len(it.workers[1].copies) == 3)
        assert it.workers[1].answered == before


async def test_the_last_record_holds_while_consul_is_away(consul: ConsulProcess) -> None:
    """Calls go on as they were split; what is written after its return is followed."""
    async with deployment(consul.url) as it, AsyncClient(it.address, service=it.service) as client:
        await client.classify(JPEG)
        await it.followed(client, Rollout({"4": 1}))
        await asyncio.to_thread(consul.kill)
        await until(lambda: client._core.source._watches[it.service]._complained)
        assert picked(client, it.service, 10) == {"4": 10}
        await asyncio.to_thread(consul.start)
        await it.split(Rollout({"3": 1}))

        async def followed() -> bool:
            told = (await client.workers(it.service)).rollout
            return told is not None and told.shares == {"3": 1}

        await until(followed, within_s=60)


@pytest.fixture(scope="module")
def protected(consul_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProtectedConsul]:
    consul = ProtectedConsul(consul_binary, tmp_path_factory.mktemp("protected"))
    consul.start()
    yield consul
    consul.stop()


async def answered_as(client: AsyncClient, it: Deployment, expected: set[str]) -> bool:
    """Whether 30 calls in turn are answered by workers of these versions."""
    return {it.versions[(await client.classify(JPEG)).worker] for _ in range(30)} == expected


RIGHTS = 'service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }'
RECORD = 'key_prefix "p2p-serving/rollouts/" { policy = "read" }'


@pytest.mark.parametrize("routing", ["watch", "lookup"])
async def test_without_the_right_to_read_the_record_calls_are_not_split(
    protected: ProtectedConsul, routing: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged once, with the right that is missing; with that right the split is followed."""
    caplog.set_level(logging.INFO, "p2pclient")
    async with deployment(protected.url, protected.management) as it:
        await it.split(Rollout({"4": 1}))
        for rights, expected in ((RIGHTS, {"3", "4"}), (f"{RIGHTS} {RECORD}", {"4"})):
            options = {"service": it.service, "routing": routing, "consul_token": protected.token(rights)}
            async with AsyncClient(it.address, **options) as client:
                await until(partial(answered_as, client, it, expected))
        (said,) = (message for message in caplog.messages if RECORD in message)
        assert f"{it.service}: the split cannot be read, calls are not split" in said


async def test_commands_follow_the_split(shared_consul: ConsulProcess, p2p) -> None:
    """`p2p lookup` names workers of the split alone, and `p2p status` shows it."""
    async with deployment(shared_consul.url) as it:
        await it.split(Rollout({"4": 1}))

        async def said(*arguments: str) -> str:
            code, out, err = await asyncio.to_thread(p2p, *arguments, "--registry", it.address)
            assert (code, err) == (0, "")
            return out

        async def only_version_4() -> bool:
            named = (await said("lookup", it.service, "--count", "2")).split()
            return [it.versions[each] for each in named] == ["4"]

        await until(only_version_4)
        services = json.loads(await said("status", "--json"))["services"]
        (shown,) = (each for each in services if each["name"] == it.service)
        assert shown["rollout"]["split"] == {"4": 1}
