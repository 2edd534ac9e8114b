"""Lookups follow the split that Consul's key/value store holds: over HTTP, as redirects, as DNS, and in p2pclient."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import dns.asyncquery
import dns.message
import pytest

from p2pclient import AsyncClient
from registry.consul.key_value import KeyValue
from registry.consul.settings import ConsulSettings
from registry.proxy.server import ProxySettings
from registry.proxy.server import running as running_proxy
from registry.rollout.record import Rollout, key_of, written
from registry.server import RunningRegistry, running
from registry.settings import RegistrySettings
from tests.support.consul_process import ConsulProcess
from tests.support.waiting import until
from tests.support.workers.versioned_worker import VersionedWorker, versioned_worker


@dataclass
class Deployment:
    """A lookup service, and workers of versions 3 (two of them) and 4."""

    service: str
    registry: RunningRegistry
    workers: list[VersionedWorker]
    store: KeyValue
    http: aiohttp.ClientSession

    @property
    def versions(self) -> dict[str, str]:
        return {worker.instance.address: worker.instance.version for worker in self.workers}

    async def set(self, rollout: Rollout) -> None:
        """Write the record, and wait until the lookup service has taken it up."""
        await self.store.put(key_of(self.service), written(rollout))
        await until(lambda: self.followed.rollout == (rollout if rollout.in_force else None))

    @property
    def followed(self):
        service = self.registry.directory.followed(self.service)
        assert service is not None
        return service

    async def lookup(self, query: str = "") -> str:
        async with self.http.get(f"{self.registry.url}/next{query}") as answer:
            assert answer.status == 200, await answer.text()
            return (await answer.text()).strip()

    async def redirected(self) -> str:
        async with self.http.post(f"{self.registry.url}/", data=b"x", allow_redirects=False) as answer:
            assert answer.status == 307
            return answer.headers["Location"].removeprefix("http://").rstrip("/")

    async def resolved(self) -> str:
        query = dns.message.make_query(f"{self.service}.service.consul.", "SRV")
        assert self.registry.dns_port is not None
        answer = await dns.asyncquery.udp(query, "127.0.0.1", port=self.registry.dns_port, timeout=5)
        return ",".join(sorted(f"127.0.0.1:{record.port}" for rrset in answer.answer for record in rrset))

    async def counted(self, ask: Callable[[], Awaitable[str]], times: int) -> Counter[str]:
        """How often each version was named."""
        found = [self.versions[(await ask()).split(",")[0]] for _ in range(times)]
        return Counter(found)


@asynccontextmanager
async def deployment(
    consul: ConsulProcess, *, state: Path | None = None, dns_port: int | None = None
) -> AsyncIterator[Deployment]:
    service = f"flowers-{uuid.uuid4().hex[:8]}"
    settings = RegistrySettings(ConsulSettings(url=consul.url), port=0, service=service, state=state, dns_port=dns_port)
    async with AsyncExitStack() as stack:
        workers = [
            await stack.enter_async_context(versioned_worker(consul.url, service, version, name=name))
            for version, name in (("3", "a"), ("3", "b"), ("4", "a"))
        ]
        registry = await stack.enter_async_context(running(settings))
        store = KeyValue(ConsulSettings(url=consul.url))
        stack.push_async_callback(store.close)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        found = Deployment(service, registry, workers, store, http)
        await until(lambda: len(found.followed.snapshot.serving) == 3)
        yield found


async def test_lookups_are_split_exactly(shared_consul: ConsulProcess) -> None:
    """Of 1,000 lookups 100 name version 4, and of any 100 of them ten, within one; 307 and DNS have the same shares."""
    async with deployment(shared_consul, dns_port=0) as it:
        await it.set(Rollout({"3": 90, "4": 10}))
        named = [it.versions[await it.lookup()] for _ in range(1000)]
        assert Counter(named) == {"3": 900, "4": 100}
        windows = [named[start : start + 100].count("4") for start in range(900)]
        assert 9 <= min(windows) <= max(windows) <= 11
        assert (await it.counted(it.redirected, 100))["4"] == 10
        answers = [await it.resolved() for _ in range(100)]
        assert Counter(it.versions[each.split(",")[0]] for each in answers)["4"] == 10
        # A client that draws among the records by itself draws one of the version whose turn it is.
        assert all(len({it.versions[address] for address in each.split(",")}) == 1 for each in answers)


async def test_a_proxy_follows_the_split_from_its_first_request(shared_consul: ConsulProcess) -> None:
    """It forwards nothing before it has asked for the record."""
    async with deployment(shared_consul) as it:
        await it.set(Rollout({"4": 1}))
        settings = ProxySettings(ConsulSettings(url=shared_consul.url), port=0, service=it.service)
        async with running_proxy(settings) as proxy:
            for _ in range(4):
                async with it.http.post(f"{proxy.url}/", data=b"x") as answer:
                    assert answer.status == 200
        assert [worker.answered for worker in it.workers] == [0, 0, 4]


async def test_a_named_version_is_not_split(shared_consul: ConsulProcess) -> None:
    async with deployment(shared_consul) as it:
        await it.set(Rollout({"3": 100}))
        assert await it.counted(it.lookup, 10) == {"3": 10}
        assert await it.counted(lambda: it.lookup("?version=4"), 3) == {"4": 3}


async def test_the_list_of_instances_says_the_shares(shared_consul: ConsulProcess) -> None:
    """A long poll is answered when the split changes, and says what holds now."""
    async with deployment(shared_consul) as it:
        url = f"{it.registry.url}/instances/{it.service}"
        async with it.http.get(url) as answer:
            before = await answer.json()
        assert "rollout" not in before
        poll = asyncio.create_task(it.http.get(f"{url}?index={before['index']}&wait=30s"))
        await it.set(Rollout({"3": 3, "5": 1}, {"4": 5}))
        async with await poll as answer:
            said = (await answer.json())["rollout"]
        assert said == {"split": {"3": 3, "5": 1}, "shadows": {"4": 5}, "shares": {"3": 3}, "absent": ["5"]}
        async with it.http.get(f"{it.registry.url}/metrics") as answer:
            metrics = await answer.text()
        assert f'p2p_registry_version_share{{service="{it.service}",version="3"}} 1.0' in metrics
        assert f'p2p_registry_split_absent_versions{{service="{it.service}"}} 1.0' in metrics


async def test_a_weight_without_a_worker_goes_to_the_others(
    shared_consul: ConsulProcess, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with deployment(shared_consul) as it:
        await it.set(Rollout({"3": 80, "4": 10, "9": 10}))
        assert await it.counted(it.lookup, 90) == {"3": 80, "4": 10}
        sentence = f"Version 9 of {it.service} has a weight and no healthy worker"
        assert sentence in caplog.text


async def test_without_any_worker_of_the_split_all_are_used(shared_consul: ConsulProcess) -> None:
    """Workers that have taken over version 5 by themselves answer, rather than nobody; shadows alone do not."""
    async with deployment(shared_consul) as it:
        await it.set(Rollout({"9": 1}, {"4": 5}))
        assert await it.counted(it.lookup, 6) == {"3": 6}


async def test_a_change_is_followed_soon(shared_consul: ConsulProcess) -> None:
    """Usually within 10 ms; 50 are promised, and ten times as long is allowed here."""
    async with deployment(shared_consul) as it:
        took_s = []
        for only in ("4", "3") * 5:
            began_s = time.monotonic()
            await it.store.put(key_of(it.service), written(Rollout({only: 1})))
            while it.versions[await it.lookup()] != only or it.versions[await it.lookup()] != only:
                pass
            took_s.append(time.monotonic() - began_s)
        assert min(took_s) < 0.5


async def test_a_malformed_record_changes_nothing(
    shared_consul: ConsulProcess, caplog: pytest.LogCaptureFixture
) -> None:
    """The last good one holds, with a warning; the next good one is taken up."""
    async with deployment(shared_consul) as it:
        await it.set(Rollout({"4": 1}))
        await it.store.put(key_of(it.service), b'{"split": {"3": -1}}')
        await until(lambda: "cannot be used, the last good one holds: the weight of version 3 is -1" in caplog.text)
        assert await it.counted(it.lookup, 4) == {"4": 4}
        await it.set(Rollout({"3": 1}))
        assert await it.counted(it.lookup, 4) == {"3": 4}


async def test_a_record_that_is_lost_still_holds(
    shared_consul: ConsulProcess, caplog: pytest.LogCaptureFixture
) -> None:
    async with deployment(shared_consul) as it:
        await it.set(Rollout({"4": 1}))
        await it.store.delete(key_of(it.service))
        await until(lambda: f"no record of the roll-out of {it.service} any more: the last one holds" in caplog.text)
        assert await it.counted(it.lookup, 4) == {"4": 4}
        await it.set(Rollout())
        assert set(await it.counted(it.lookup, 6)) == {"3", "4"}


async def test_a_split_outlasts_consul(consul: ConsulProcess, tmp_path: Path) -> None:
    """While Consul is away, and in a lookup service that starts meanwhile, the last record holds."""
    state = tmp_path / "state.json"
    async with deployment(consul, state=state) as it:
        await it.set(Rollout({"4": 1}))
        await until(lambda: state.exists() and '"rollout"' in state.read_text(), within_s=20)
        await asyncio.to_thread(consul.kill)
        await until(lambda: it.followed.snapshot.stale)
        assert await it.counted(it.lookup, 4) == {"4": 4}
        settings = RegistrySettings(ConsulSettings(url=consul.url), port=0, service=it.service, state=state)
        async with running(settings) as second:

            async def answers() -> bool:
                async with it.http.get(f"{second.url}/next") as answer:
                    return answer.status == 200 and it.versions[(await answer.text()).strip()] == "4"

            assert await until(answers)
            assert await answers()
        await asyncio.to_thread(consul.start)
        await until(lambda: not it.followed.snapshot.stale, within_s=60)
        assert await it.counted(it.lookup, 4) == {"4": 4}


async def test_the_client_follows_the_split(shared_consul: ConsulProcess) -> None:
    """A client that keeps a list of the workers spreads its calls over the versions as the lookup service does."""
    async with deployment(shared_consul) as it, AsyncClient(it.registry.url, service=it.service) as client:
        await it.set(Rollout({"3": 80, "4": 20}))
        for _ in range(100):
            await client.classify(b"\xff\xd8 an image")
        # Which version a call asks first is exact (test_split_balancer); one that is late asks another one, too.
        assert 10 <= it.workers[2].answered <= 30
        snapshot = await client.workers(it.service)
        assert snapshot.rollout is not None
        assert snapshot.rollout.shares == {"3": 80, "4": 20}
        await it.set(Rollout())

        async def gone() -> bool:
            return (await client.workers(it.service)).rollout is None

        await until(gone)
