"""Lookups while most workers are dead, and while an agent that has restarted calls all critical: a real Consul."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from registry.consul.catalog import Catalog, Checks
from registry.consul.settings import ConsulSettings
from registry.instances.instance import Instance
from registry.server import running
from registry.settings import RegistrySettings
from tests.support.consul_process import ConsulProcess
from tests.support.waiting import until


@asynccontextmanager
async def healthy_worker(catalog: Catalog) -> AsyncIterator[str]:
    """A registered worker of `classify` that passes its check while the context is open; its address."""
    app = web.Application()
    app.router.add_get("/healthz", _healthy)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = int(runner.addresses[0][1])
    try:
        await catalog.register(
            Instance("classify", f"classify-{port}", "127.0.0.1", port),
            Checks(f"http://127.0.0.1:{port}/healthz", ttl_s=None),
        )
        yield f"127.0.0.1:{port}"
    finally:
        await runner.cleanup()


async def _healthy(_: web.Request) -> web.Response:
    return web.Response()


async def lookup(http: aiohttp.ClientSession, url: str) -> tuple[str, str | None]:
    """The worker that is named, and what the answer says of panic."""
    async with http.get(f"{url}/next") as answer:
        assert answer.status == 200
        return (await answer.text()).strip(), answer.headers.get("X-Registry-Panic")


async def test_killed_workers_are_not_handed_out_while_one_lives(
    consul: ConsulProcess, caplog: pytest.LogCaptureFixture
) -> None:
    """Three of four are killed: panic mode is told while it lasts, and then lookups name the living one only."""
    caplog.set_level(logging.INFO)
    settings = ConsulSettings(url=consul.url)
    catalog = Catalog(settings)
    async with AsyncExitStack() as alive, aiohttp.ClientSession() as http:
        living = await alive.enter_async_context(healthy_worker(catalog))
        async with running(RegistrySettings(backend=settings, port=0)) as registry:
            async with AsyncExitStack() as killed:
                for _ in range(3):
                    await killed.enter_async_context(healthy_worker(catalog))
                service = registry.directory.followed("classify")
                assert service is not None
                await until(lambda: len(service.rotation()) == 4)
            await until(lambda: len(service.snapshot.serving) == 1, within_s=20)
            while service.snapshot.panic is not None:
                _, panic = await lookup(http, registry.url)
                assert panic is None or panic.startswith("1/")
                await asyncio.sleep(0.05)
            assert {await lookup(http, registry.url) for _ in range(8)} == {(living, None)}
            await until(lambda: len(service.snapshot.unreachable) == 3)
            assert {await lookup(http, registry.url) for _ in range(8)} == {(living, None)}
    await catalog.close()
    told = [message for message in caplog.messages if message.startswith("Panic mode")]
    assert len(told) in (0, 2)  # it may begin and end, or never come to be


async def test_an_agent_that_restarts_empties_nothing(consul: ConsulProcess) -> None:
    """After a restart of the agent every check is critical until its first run: every lookup names a worker."""
    settings = ConsulSettings(url=consul.url)
    catalog = Catalog(settings)
    async with AsyncExitStack() as alive, aiohttp.ClientSession() as http:
        workers = {await alive.enter_async_context(healthy_worker(catalog)) for _ in range(3)}
        async with running(RegistrySettings(backend=settings, port=0)) as registry:
            service = registry.directory.followed("classify")
            assert service is not None
            await until(lambda: len(service.rotation()) == 3)
            restart = asyncio.create_task(asyncio.to_thread(_restart, consul))

            async def back() -> bool:
                assert {(await lookup(http, registry.url))[0] for _ in range(3)} <= workers
                return restart.done() and not service.snapshot.stale and len(service.snapshot.serving) == 3

            await until(back, within_s=40, every_s=0.05)
            await restart
    await catalog.close()


def _restart(consul: ConsulProcess) -> None:
    consul.stop()
    consul.start()
