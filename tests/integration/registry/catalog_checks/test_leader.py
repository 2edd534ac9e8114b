"""Workers in the catalogue of a real Consul, checked by a lookup service: what happens when either of them dies."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

import registry.catalog_checks.verdict
from registry.catalog_checks.leader import checking_catalog
from registry.consul.catalog import Catalog
from registry.consul.key_value import KeyValue
from registry.consul.registration.catalog_checks import CatalogChecks
from registry.consul.registration.catalog_names import LOCK_KEY
from registry.consul.settings import ConsulSettings
from registry.instances.instance import Health, Instance
from registry.runtime.tls.trust import TrustFiles
from tests.support.command_process import Command, command
from tests.support.consul_process import ConsulProcess
from tests.support.waiting import until

LEADS = "This lookup process checks the workers"
SHORT_SESSIONS = (
    sys.executable,
    "-c",
    "from registry.consul.registration import session_lock\n"
    "session_lock.SESSION_TTL_S = 4.0\n"
    "from p2pclient.__main__ import main\n"
    "main()",
)
"""`p2p` with sessions of 4 s."""


@pytest.fixture
def settings(consul: ConsulProcess) -> ConsulSettings:
    return ConsulSettings(url=consul.url)


@pytest.fixture
async def catalog(settings: ConsulSettings) -> AsyncIterator[Catalog]:
    catalog = Catalog(settings)
    yield catalog
    await catalog.close()


@pytest.fixture
async def start(consul: ConsulProcess) -> AsyncIterator[Callable[..., Awaitable[Command]]]:
    """Starts a `p2p` command that uses this Consul."""
    async with AsyncExitStack() as stack:

        async def start(*arguments: str) -> Command:
            return await stack.enter_async_context(command(*arguments, "--consul", consul.url))

        yield start


Start = Callable[..., Awaitable[Command]]


async def start_worker(start: Start, catalog: Catalog) -> Command:
    before = len((await catalog.health("classify")).instances)
    started = await start("worker", "--engine", "echo", "--register", "catalog", "--drain", "0.1")

    async def registered() -> bool:
        return len((await catalog.health("classify")).instances) > before

    await until(registered, within_s=30)
    return started


async def instances(catalog: Catalog) -> list[Instance]:
    return list((await catalog.health("classify")).instances)


async def until_health(catalog: Catalog, *wanted: Health, within_s: float = 15) -> list[Instance]:
    async def is_so() -> list[Instance] | None:
        found = await instances(catalog)
        return found if sorted(i.health for i in found) == sorted(wanted) else None

    if not wanted:
        await until(lambda: _none(catalog), within_s=within_s)
        return []
    return await until(is_so, within_s=within_s)


async def _none(catalog: Catalog) -> bool:
    return not await instances(catalog)


async def holder(settings: ConsulSettings) -> bool:
    key_value = KeyValue(settings)
    try:
        return not (await key_value.under(LOCK_KEY)).missing
    finally:
        await key_value.close()


async def test_a_killed_worker_is_critical_and_goes(
    settings: ConsulSettings, catalog: Catalog, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kill -9: critical within two checks, because nobody listens; removed in time. The other one stays."""
    monkeypatch.setattr(registry.catalog_checks.verdict, "REMOVE_AFTER_S", 4.0)
    killed, other = await start_worker(start, catalog), await start_worker(start, catalog)
    async with checking_catalog(settings, TrustFiles()):
        killed.send(signal.SIGKILL)
        found = await until_health(catalog, Health.CRITICAL, Health.PASSING)
        assert [i.refused for i in found if i.health is Health.CRITICAL] == [True]
        await until_health(catalog, Health.PASSING)
        other.send(signal.SIGTERM)
        await until_health(catalog)
    checks = CatalogChecks(settings)
    assert (await checks.any_nodes())[1] is False
    await checks.close()


async def test_a_worker_that_does_not_answer_comes_back(
    settings: ConsulSettings, catalog: Catalog, start: Start
) -> None:
    """A worker that is cut off, here a stopped process, is critical until it answers again; its registration stays."""
    worker = await start_worker(start, catalog)
    (before,) = await instances(catalog)
    async with checking_catalog(settings, TrustFiles()):
        worker.send(signal.SIGSTOP)
        (cut_off,) = await until_health(catalog, Health.CRITICAL)
        assert (cut_off.refused, cut_off.boot) == (False, before.boot)
        worker.send(signal.SIGCONT)
        (back,) = await until_health(catalog, Health.PASSING)
        assert back.boot == before.boot


async def test_another_lookup_takes_over(consul_binary: Path, tmp_path: Path) -> None:
    """Of two lookup services one checks; when it is killed the other does, as Consul ends the session by itself.

    Sessions of 4 s take the place of those of 10 s; Consul keeps either for up to twice as long.
    """
    consul = ConsulProcess(consul_binary, tmp_path, session_ttl_min="4s")
    await asyncio.to_thread(consul.start)
    catalog = Catalog(ConsulSettings(url=consul.url))
    async with AsyncExitStack() as stack:

        async def start(*arguments: str) -> Command:
            return await stack.enter_async_context(command(*arguments, "--consul", consul.url, p2p=SHORT_SESSIONS))

        worker = await start_worker(start, catalog)
        first = await start("registry", "--port", "0", "--state", "")
        await until(lambda: LEADS in first.output, within_s=30)
        second = await start("registry", "--port", "0", "--state", "")
        await until(lambda: "Lookup service on" in second.output, within_s=30)
        assert LEADS not in second.output
        first.send(signal.SIGKILL)
        await until(lambda: LEADS in second.output, within_s=40)
        worker.send(signal.SIGKILL)
        await until_health(catalog, Health.CRITICAL)
    await catalog.close()
    await asyncio.to_thread(consul.stop)


async def test_one_that_ends_hands_over_at_once(settings: ConsulSettings, catalog: Catalog, start: Start) -> None:
    """A lookup service that is stopped in order gives up its lock: the other checks a moment later."""
    await start_worker(start, catalog)
    first = await start("registry", "--port", "0", "--state", "")
    await until(lambda: LEADS in first.output, within_s=30)
    async with checking_catalog(settings, TrustFiles()):
        first.send(signal.SIGTERM)
        assert await first.ended() == 0

        async def held() -> bool:
            return await holder(settings)

        await until(held)


async def test_consul_away_for_a_while(
    consul: ConsulProcess, settings: ConsulSettings, catalog: Catalog, start: Start
) -> None:
    """After Consul was away, the lookup service checks on: a worker that died meanwhile becomes critical."""
    worker = await start_worker(start, catalog)
    async with checking_catalog(settings, TrustFiles()):
        await asyncio.to_thread(consul.kill)
        worker.send(signal.SIGKILL)
        await asyncio.to_thread(consul.start)
        await until_health(catalog, Health.CRITICAL, within_s=45)
