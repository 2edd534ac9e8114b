"""The commands with --discovery and a real ZooKeeper: a server behind p2p exec, lookups, a drain."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Mapping

import aiohttp
import pytest

from tests.support.command_process import command, free_port
from tests.support.servers.zookeeper_process import Ensemble
from tests.support.waiting import until

LONG_S = 60.0

SERVER = (sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "{port}")


@pytest.fixture
def environ(zookeeper: Ensemble) -> Mapping[str, str]:
    """Names a root that no other test uses, and a user."""
    url = f"{zookeeper.url}/{uuid.uuid4().hex}"
    return {"P2P_DISCOVERY": url, "P2P_ZOOKEEPER_AUTH": "sasl:worker:worker-secret"}


async def run(*arguments: str, environ: Mapping[str, str]) -> tuple[int, str]:
    async with command(*arguments, environ=environ) as process:
        code = await process.ended(within_s=LONG_S)
    return code, process.output


async def test_a_server_is_found_drained_and_gone(environ: Mapping[str, str]) -> None:
    """What p2p exec registers the lookup hands out, until an operator drains it, and again after that; then it ends."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/next"

    async def next_is(status: int, text: str) -> bool:
        try:
            async with aiohttp.ClientSession() as http, http.get(url) as answer:
                return answer.status == status and text in await answer.text()
        except aiohttp.ClientConnectionError:
            return False

    lookup = command("registry", "--port", str(port), "--service", "files", "--state", "", environ=environ)
    async with lookup, command("exec", "--service", "files", "--", *SERVER, environ=environ) as worker:
        await until(lambda: next_is(200, "127.0.0.1:"), within_s=LONG_S)
        async with aiohttp.ClientSession() as http, http.get(url) as answer:
            address = (await answer.text()).strip()
        code, said = await run("drain", "10.0.0.5:9001", environ=environ)
        assert code != 0
        assert "Nothing is registered as '10.0.0.5:9001'" in said
        code, said = await run("drain", address, "--reason", "GPU swap", environ=environ)
        assert (code, f"({address}) is drained" in said) == (0, True), said
        await until(lambda: next_is(503, "GPU swap"), within_s=LONG_S)
        code, said = await run("undrain", address, environ=environ)
        assert code == 0, said
        await until(lambda: next_is(200, address), within_s=LONG_S)
        worker.process.terminate()
        assert await worker.ended(within_s=LONG_S) is not None
        await until(lambda: next_is(503, "No healthy worker"), within_s=LONG_S)


async def test_everything_on_one_machine(environ: Mapping[str, str]) -> None:
    """p2p up starts no Consul where ZooKeeper is named, and says what to try once its worker is handed out."""
    arguments = ("up", "--workers", "1", "--engine", "echo", "--port", str(free_port()))
    async with command(*arguments, environ=environ) as everything:
        await until(lambda: "curl" in everything.output or not everything.running, within_s=LONG_S)
        everything.process.terminate()
        await everything.ended(within_s=LONG_S)
    assert f"ZooKeeper: the one at {environ['P2P_DISCOVERY']}." in everything.output
    assert "All stopped." in everything.output
    assert "Consul:" not in everything.output
