"""Several lookup processes behind one port."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from registry.consul.catalog import Catalog, Checks
from registry.consul.settings import ConsulSettings
from registry.instances.instance import Instance
from tests.support.command_process import Command, children_of, command, free_port
from tests.support.consul_process import ConsulProcess
from tests.support.security.token_file import CLIENT, bearer, write_tokens
from tests.support.waiting import until

PROCESSES = 3
WORKERS = 5


@pytest.fixture
async def shared_port(shared_consul: ConsulProcess) -> AsyncIterator[tuple[Command, str]]:
    """Lookup processes that share a port, and its URL."""
    catalog = Catalog(ConsulSettings(url=shared_consul.url))
    for port in range(9001, 9001 + WORKERS):
        worker = Instance("classify", f"classify-127.0.0.1-{port}", "127.0.0.1", port)
        await catalog.register(worker, Checks(f"{shared_consul.url}/v1/status/leader", ttl_s=None))
    await catalog.close()
    port = free_port()
    arguments = ["--port", str(port), "--processes", str(PROCESSES), "--consul", shared_consul.url, "--state", ""]
    async with command("registry", *arguments) as registry:
        await until(lambda: registry.output.count("Lookup service on") == PROCESSES, within_s=30)
        yield registry, f"http://127.0.0.1:{port}"


async def next_worker(http: aiohttp.ClientSession, url: str) -> str:
    async with http.get(f"{url}/next") as answer:
        assert answer.status == 200
        return await answer.text()


async def test_workers_get_equal_shares(shared_port: tuple[Command, str]) -> None:
    """100 clients with 100 lookups each, on connections of their own: no worker gets a tenth more than another."""
    _, url = shared_port

    async def client() -> Counter[str]:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as http:
            return Counter([await next_worker(http, url) for _ in range(100)])

    shares = sum(await asyncio.gather(*(client() for _ in range(100))), Counter[str]())
    assert len(shares) == WORKERS
    assert max(shares.values()) <= 1.1 * min(shares.values())


async def test_a_dead_process_is_replaced(shared_port: tuple[Command, str]) -> None:
    """kill -9 of one process: connections to the others go on unharmed, and there are as many again soon."""
    registry, url = shared_port
    connector = aiohttp.TCPConnector(force_close=False, limit=0)
    async with aiohttp.ClientSession(connector=connector) as http:
        before = children_of(registry.pid)
        assert len(before) == PROCESSES
        os.kill(before[0], signal.SIGKILL)

        async def replaced() -> bool:
            now = children_of(registry.pid)
            return len(now) == PROCESSES and before[0] not in now

        await until(replaced)
        await until(lambda: registry.output.count("Lookup service on") == PROCESSES + 1)
        assert set(before[1:]) < set(children_of(registry.pid))
        answers = {await next_worker(http, url) for _ in range(2 * WORKERS)}
        assert len(answers) == WORKERS


async def test_a_kept_connection_survives_its_neighbours_death(shared_port: tuple[Command, str]) -> None:
    """A client on a kept connection to a living process sees nothing of another's death."""
    registry, url = shared_port
    victim, *others = children_of(registry.pid)
    sessions = [aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) for _ in range(12)]
    try:
        for http in sessions:
            await next_worker(http, url)
        os.kill(victim, signal.SIGKILL)
        await until(lambda: victim not in children_of(registry.pid))
        outcomes = await asyncio.gather(*(next_worker(http, url) for http in sessions), return_exceptions=True)
        failed = [o for o in outcomes if isinstance(o, BaseException)]
        # Only those whose own process died may notice; aiohttp repeats a GET on a connection that was dropped.
        assert failed == []
        assert set(others) <= set(children_of(registry.pid))
    finally:
        await asyncio.gather(*(http.close() for http in sessions))


async def test_all_end_together(shared_port: tuple[Command, str]) -> None:
    """SIGTERM ends the processes and the one that watches them, with code 0 and no orphan."""
    registry, _ = shared_port
    children = children_of(registry.pid)
    registry.send(signal.SIGTERM)
    assert await registry.ended() == 0
    assert not [pid for pid in children if os.path.exists(f"/proc/{pid}")]


async def test_kill_of_the_watcher_leaves_no_orphan(shared_port: tuple[Command, str]) -> None:
    """kill -9 of the watching process ends the lookup processes too."""
    registry, _ = shared_port
    children = children_of(registry.pid)
    registry.send(signal.SIGKILL)
    await registry.ended()
    await until(lambda: not [pid for pid in children if os.path.exists(f"/proc/{pid}")])


async def test_a_taken_port_is_refused(shared_consul: ConsulProcess, shared_port: tuple[Command, str]) -> None:
    """A second set of processes on the same port is refused with a sentence, not mixed in."""
    _, url = shared_port
    port = url.rpartition(":")[2]
    async with command("registry", "--port", port, "--processes", "2", "--consul", shared_consul.url) as second:
        assert await second.ended() == 1
    assert "is taken by another program" in second.output


async def test_all_processes_ask_for_tokens(shared_consul: ConsulProcess, tmp_path: Path) -> None:
    """What the command is told of tokens, pages and hosts holds in each process; none has a token in its arguments."""
    port, page = free_port(), "https://page.example"
    arguments = ["--port", str(port), "--processes", str(PROCESSES), "--consul", shared_consul.url, "--state", ""]
    arguments += ["--tokens", str(write_tokens(tmp_path)), "--cors-origin", page, "--allowed-host", "box.example"]
    async with command("registry", *arguments) as registry:
        await until(lambda: registry.output.count("Lookup service on") == PROCESSES, within_s=30)
        for _ in range(5 * PROCESSES):
            async with aiohttp.ClientSession(headers={"Origin": page, "Host": "box.example"}) as http:
                async with http.get(f"http://127.0.0.1:{port}/services") as answer:
                    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (401, page)
                async with http.get(f"http://127.0.0.1:{port}/services", headers=bearer(CLIENT)) as answer:
                    assert answer.status == 200
        for pid in children_of(registry.pid):
            assert CLIENT not in Path(f"/proc/{pid}/cmdline").read_text()
