"""A worker at an address that Consul's agent beside it reaches, and the lookup service on another host does not."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.cluster.network import Namespaces, namespaces_allowed, open_network
from tests.support.command_process import P2P, Command, command
from tests.support.waiting import until

pytestmark = pytest.mark.skipif(not namespaces_allowed(), reason="this process may not make network namespaces")

ELSEWHERE = "198.51.100.7"
"""An address of the worker's host to which the other host has no way."""


def on(network: Namespaces, number: int, *arguments: str) -> Any:
    """`p2p ARGUMENTS` on that host."""
    return command(*arguments, p2p=(*network.hosts[number].prefix, *P2P))


@asynccontextmanager
async def agent(network: Namespaces, binary: Path, folder: Path) -> AsyncIterator[str]:
    """Consul on the first host, for both; its URL."""
    host = network.hosts[0]
    settings = ("-server", "-bootstrap-expect", "1", "-bind", host.control, "-client", "0.0.0.0")
    hurried = ("-hcl", "performance { raft_multiplier = 1 }")  # it elects itself within a second
    ran = [*host.prefix, str(binary), "agent", *settings, *hurried, "-data-dir", str(folder)]
    process = await asyncio.create_subprocess_exec(*ran, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield f"http://{host.address}:8500"
    finally:
        process.kill()
        await process.wait()


async def lookup_knows(url: str) -> bool:
    """Whether the lookup service hands a worker out: Consul's check passes."""
    try:
        async with aiohttp.request("GET", f"{url}/next") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


async def output_of(running: Command) -> str:
    await running.ended()
    return " ".join(running.output.split())


async def test_only_the_lookup_service_knows(consul_binary: Path, tmp_path: Path) -> None:
    """Checks pass and lookups name the worker, but no client reaches it: status and doctor say so until mended."""
    async with open_network("one", "two") as network:
        assert isinstance(network, Namespaces)
        ip = ("ip", "-n", network.hosts[0].prefix[-1], "address", "add", f"{ELSEWHERE}/32", "dev", "data")
        subprocess.run(ip, check=True)
        url = f"http://{network.hosts[1].address}:12480"
        worker = ("worker", "--engine", "echo", "--host", "0.0.0.0", "--drain", "0")
        async with agent(network, consul_binary, tmp_path) as consul:
            flags = ("--consul", consul)
            lookup = ("registry", *flags, "--host", network.hosts[1].address, "--state", "")
            doctor = ("doctor", "--role", "worker", *flags, "--registry", url, "--host", "0.0.0.0")
            async with on(network, 1, *lookup):
                async with on(network, 0, *worker, *flags, "--advertise", ELSEWHERE) as running:
                    await until(lambda: lookup_knows(url), within_s=60)
                    async with on(network, 0, "status", "--registry", url, "--json") as status:
                        (service,) = json.loads(await output_of(status))["services"]
                    (shown,) = service["workers"]
                    assert (shown["health"], shown["error"]) == ("passing", None)
                    assert "unreachable" in shown["unreachable"]
                    async with on(network, 0, *doctor, "--advertise", ELSEWHERE) as examined:
                        assert f"cannot reach classify-{ELSEWHERE}" in await output_of(examined)
                        assert examined.process.returncode == 2
                    running.send(signal.SIGTERM)
                    await running.ended()
                async with on(network, 0, *worker, *flags):
                    await until(lambda: lookup_knows(url), within_s=60)
                    async with on(network, 0, *doctor) as examined:
                        assert "The lookup service reaches 1 of the 1" in await output_of(examined)
                        assert examined.process.returncode == 0, examined.output
