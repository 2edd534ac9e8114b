"""Lookups while Consul is stopped, killed, wiped and brought back: a real one."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from registry.consul.catalog import Catalog, Checks
from registry.consul.errors import ConsulUnavailable
from registry.consul.settings import ConsulSettings
from registry.instances.instance import Instance
from registry.server import RunningRegistry, running
from registry.settings import RegistrySettings
from tests.support.consul_process import ConsulProcess
from tests.support.waiting import until


def worker(port: int) -> Instance:
    return Instance("classify", f"classify-127.0.0.1-{port}", "127.0.0.1", port, boot=f"boot{port}")


async def register(consul: ConsulProcess, *ports: int) -> None:
    catalog = Catalog(ConsulSettings(url=consul.url))
    for port in ports:
        await catalog.register(worker(port), Checks(f"{consul.url}/v1/status/leader", ttl_s=None))
    await catalog.close()


@asynccontextmanager
async def lookup_service(consul: ConsulProcess, *, state: Path | None = None) -> AsyncIterator[RunningRegistry]:
    consul_settings = ConsulSettings(url=consul.url)
    async with running(RegistrySettings(backend=consul_settings, port=0, state=state)) as registry:
        yield registry


async def ask(registry: RunningRegistry) -> tuple[int, str, str | None]:
    """Status, body, and the staleness that a lookup says."""
    async with aiohttp.request("GET", f"{registry.url}/next") as answer:
        return answer.status, (await answer.text()).strip(), answer.headers.get("X-Registry-Stale")


async def hands_out(registry: RunningRegistry, *ports: int, within_s: float = 15.0) -> None:
    """Wait until exactly these workers are handed out, fresh."""

    async def exactly() -> bool:
        answers = [await ask(registry) for _ in range(2 * len(ports))]
        return {a[:2] for a in answers} == {(200, f"127.0.0.1:{p}") for p in ports} and answers[-1][2] is None

    await until(exactly, within_s=within_s)


async def test_lookups_go_on_while_consul_is_away(consul: ConsulProcess) -> None:
    """Stopped: the last good set, marked stale. Started again with its data: fresh within 15 s."""
    await register(consul, 9001, 9002)
    async with lookup_service(consul) as registry:
        await hands_out(registry, 9001, 9002)
        await asyncio.to_thread(consul.stop)

        async def stale() -> bool:
            return (await ask(registry))[2] is not None

        await until(stale)
        answers = [await ask(registry) for _ in range(4)]
        assert {a[:2] for a in answers} == {(200, "127.0.0.1:9001"), (200, "127.0.0.1:9002")}
        assert all(a[1] != b[1] for a, b in itertools.pairwise(answers))
        await asyncio.to_thread(consul.start)
        await hands_out(registry, 9001, 9002)


async def test_a_wiped_consul_empties_nothing(consul: ConsulProcess, tmp_path: Path) -> None:
    """Killed and back without its data, Consul says that nobody is there: the set is held until they are back."""
    await register(consul, 9001, 9002)
    async with lookup_service(consul) as registry:
        await hands_out(registry, 9001, 9002)
        await asyncio.to_thread(consul.kill)
        shutil.rmtree(tmp_path / "consul" / "data")
        await asyncio.to_thread(consul.start)

        async def confirmed() -> bool:
            return (await ask(registry))[2] is None

        await until(confirmed)
        assert {(await ask(registry))[:2] for _ in range(2)} == {
            (200, "127.0.0.1:9001"),
            (200, "127.0.0.1:9002"),
        }
        await register(consul, 9002)
        assert {(await ask(registry))[1] for _ in range(2)} == {"127.0.0.1:9001", "127.0.0.1:9002"}
        await register(consul, 9001)
        await hands_out(registry, 9001, 9002)


async def test_a_start_during_an_outage_answers_from_disk(consul: ConsulProcess, tmp_path: Path) -> None:
    """A lookup service that starts while Consul is away answers from its last good set, with its age."""
    state = tmp_path / "state" / "lookup.json"
    await register(consul, 9001)
    async with lookup_service(consul, state=state) as registry:
        await hands_out(registry, 9001)
        await until(lambda: state.exists() and "9001" in state.read_text())
    await asyncio.to_thread(consul.stop)
    async with lookup_service(consul, state=state) as registry:

        async def answered() -> bool:
            status, address, stale = await ask(registry)
            return (status, address) == (200, "127.0.0.1:9001") and stale is not None

        await until(answered)
        await asyncio.to_thread(consul.start)
        await hands_out(registry, 9001)


async def test_a_start_during_an_outage_without_a_file_says_so(consul: ConsulProcess, tmp_path: Path) -> None:
    """With nothing to go by it is 503 with a sentence, and not ready, until Consul is back."""
    await asyncio.to_thread(consul.stop)
    async with lookup_service(consul, state=tmp_path / "none.json") as registry:
        status, sentence, _ = await ask(registry)
        assert (status, "Consul" in sentence) == (503, True)
        await asyncio.to_thread(consul.start)
        await register(consul, 9001)
        await hands_out(registry, 9001)


async def test_a_damaged_state_file_is_no_obstacle(
    consul: ConsulProcess, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A state file that is no JSON is reported once and replaced."""
    state = tmp_path / "lookup.json"
    state.write_text('{"format": 1, "services": [{"servi')
    await register(consul, 9001)
    async with lookup_service(consul, state=state) as registry:
        await hands_out(registry, 9001)
        await until(lambda: "9001" in state.read_text())
    assert "cannot be used" in caplog.text


async def test_a_call_without_consul_names_it(consul: ConsulProcess) -> None:
    """Whoever calls a Consul that is away is told which one, and that it did not answer."""
    await asyncio.to_thread(consul.stop)
    catalog = Catalog(ConsulSettings(url=consul.url))
    with pytest.raises(ConsulUnavailable, match=consul.url):
        await catalog.version()
    await catalog.close()
