"""Consul taken away and brought back under running workers and lookups: the embedded agent and a real one."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from tests.support.command_process import Command, command, free_port
from tests.support.consul_process import ConsulProcess
from tests.support.photos import coffee_jpeg
from tests.support.waiting import until


class EmbeddedAgent:
    """`p2p agent` as something to stop and start; it forgets all each time."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._stack = AsyncExitStack()
        self._agent: Command | None = None

    async def start(self) -> None:
        self._agent = await self._stack.enter_async_context(command("agent", "--port", str(self.port)))
        await until(lambda: "Embedded Consul agent on" in self._agent.output)  # type: ignore[union-attr]  # just set

    async def stop(self) -> None:
        assert self._agent is not None
        self._agent.send(signal.SIGTERM)
        await self._agent.ended()

    async def close(self) -> None:
        await self._stack.aclose()


class RealConsul:
    """A real Consul as something to stop and start; `wipe` makes it forget all each time."""

    def __init__(self, binary: Path, folder: Path, *, wipe: bool) -> None:
        self._process = ConsulProcess(binary, folder)
        self._data = folder / "data"
        self._wipe = wipe

    @property
    def url(self) -> str:
        return self._process.url

    async def start(self) -> None:
        await asyncio.to_thread(self._process.start)

    async def stop(self) -> None:
        await asyncio.to_thread(self._process.stop)
        if self._wipe:
            shutil.rmtree(self._data)

    async def close(self) -> None:
        await asyncio.to_thread(self._process.stop)


@pytest.fixture(params=["embedded-agent", "real-consul", "real-consul-wiped"])
async def consul_to_stop(
    request: pytest.FixtureRequest, consul_binary: Path, tmp_path: Path
) -> AsyncIterator[EmbeddedAgent | RealConsul]:
    consul: EmbeddedAgent | RealConsul
    if request.param == "embedded-agent":
        consul = EmbeddedAgent()
    else:
        consul = RealConsul(consul_binary, tmp_path, wipe=request.param.endswith("wiped"))
    await consul.start()
    yield consul
    await consul.close()


@pytest.fixture
async def registry_url(consul_to_stop: EmbeddedAgent | RealConsul) -> AsyncIterator[str]:
    """A lookup service and two workers that predict nothing, on that Consul."""
    url, port = consul_to_stop.url, free_port()
    worker = ["worker", "--engine", "echo", "--consul", url, "--drain", "0.2"]
    async with AsyncExitStack() as stack:
        registry = command("registry", "--port", str(port), "--consul", url, "--state", "")
        for part in (registry, command(*worker), command(*worker)):
            await stack.enter_async_context(part)
        yield f"http://127.0.0.1:{port}"


async def ask(url: str) -> tuple[int, str, bool]:
    """A lookup's status and body, and whether it is marked stale."""
    async with aiohttp.request("GET", f"{url}/next") as answer:
        return answer.status, (await answer.text()).strip(), "X-Registry-Stale" in answer.headers


async def healthy_workers(url: str) -> set[str]:
    """The workers that Consul itself calls passing, as the lookup service sees them; none while it is stale."""
    async with aiohttp.request("GET", f"{url}/instances/classify") as answer:
        if answer.status != 200 or "X-Registry-Stale" in answer.headers:
            return set()
        return {i["address"] for i in (await answer.json())["instances"] if i["health"] == "passing"}


async def two_workers(consul_url: str) -> bool:
    """Whether Consul, asked directly, has two passing workers."""
    url = f"{consul_url}/v1/health/service/classify?passing"
    try:
        async with aiohttp.request("GET", url) as answer:
            return answer.status == 200 and len(await answer.json()) == 2
    except aiohttp.ClientError:
        return False


async def eventually(condition: Callable[[], Awaitable[object]], within_s: float) -> None:
    async def safely() -> bool:
        try:
            return bool(await condition())
        except aiohttp.ClientError:
            return False

    await until(safely, within_s=within_s)


async def test_consul_goes_and_comes_back(consul_to_stop: EmbeddedAgent | RealConsul, registry_url: str) -> None:
    """While Consul is away lookups go on, marked stale, and images are answered; back, it has the workers in 15 s."""

    async def both() -> bool:
        return len(await healthy_workers(registry_url)) == 2

    await eventually(both, within_s=30)
    workers = await healthy_workers(registry_url)
    await consul_to_stop.stop()

    async def stale() -> bool:
        return (await ask(registry_url))[2]

    await eventually(stale, within_s=10)
    assert {(await ask(registry_url))[:2] for _ in range(2)} == {(200, w) for w in workers}
    async with aiohttp.request("POST", f"http://{(await ask(registry_url))[1]}", data=coffee_jpeg()) as answer:
        assert answer.status == 200

    await consul_to_stop.start()
    watching = asyncio.create_task(_always_answered(registry_url, workers))
    await until(lambda: two_workers(consul_to_stop.url), within_s=15)
    await eventually(both, within_s=15)
    assert not watching.done(), watching.exception()
    watching.cancel()


async def _always_answered(url: str, workers: set[str]) -> None:
    """Look up over and over; AssertionError if ever anything but a known worker comes."""
    while True:
        status, address, _ = await ask(url)
        assert (status, address in workers) == (200, True)
        await asyncio.sleep(0.02)
