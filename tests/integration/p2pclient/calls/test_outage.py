"""A real lookup service that is killed, or hangs, while a client looks up at each call."""

from __future__ import annotations

import asyncio
import signal
import time

import aiohttp

from p2pclient import AsyncClient
from tests.support.command_process import Command, command, free_port
from tests.support.waiting import until

TOLERANCE_S = 0.5


async def says_ok(url: str) -> bool:
    try:
        async with aiohttp.ClientSession() as http, http.get(url) as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


async def slowest_s(client: AsyncClient, image: bytes) -> float:
    """The longest of a few calls one after another."""
    return max([(await client.classify(image)).took_s for _ in range(6)])


async def test_calls_go_on_while_the_lookup_service_is_killed_or_hangs(fleet):
    """Killed: no call waits. Stopped: one call waits for a second, the others do not. Then the rotation is back."""
    workers = fleet.add(2)
    consul_port, port = free_port(), free_port()
    consul, lookup = f"http://127.0.0.1:{consul_port}", f"http://127.0.0.1:{port}"
    registry = ("registry", "--port", str(port), "--consul", consul, "--state", "")

    async def ready(running: Command) -> None:
        await until(lambda: says_ok(f"{lookup}/next/classify?count=2"))
        assert running.running

    async with command("agent", "--port", str(consul_port)), aiohttp.ClientSession() as http:
        await until(lambda: says_ok(f"{consul}/v1/status/leader"))
        for worker in workers:
            known = {"Name": "classify", "ID": worker.id, "Address": "127.0.0.1", "Port": worker.port, "Tags": ["p2p"]}
            async with http.put(f"{consul}/v1/agent/service/register", json=known) as answer:
                assert answer.status == 200
        async with AsyncClient(lookup, service="classify", routing="lookup") as client:
            async with command(*registry) as running:
                await ready(running)
                await until(lambda: named_both(client))
                assert await slowest_s(client, fleet.jpeg) < TOLERANCE_S
                running.send(signal.SIGKILL)
                await running.ended()
                assert await slowest_s(client, fleet.jpeg) < TOLERANCE_S
            async with command(*registry) as running:
                await ready(running)
                await asyncio.sleep(1.0)  # for so long a client does not ask one that was away
                running.send(signal.SIGSTOP)
                began_s = time.monotonic()
                assert 0.9 < await slowest_s(client, fleet.jpeg) < 1 + TOLERANCE_S
                assert time.monotonic() - began_s < 1 + 2 * TOLERANCE_S
                running.send(signal.SIGCONT)
                await asyncio.sleep(1.0)
                assert {(await client.classify(fleet.jpeg)).worker for _ in range(2)} == {w.address for w in workers}


async def named_both(client: AsyncClient) -> bool:
    return len(await client.lookup(count=2)) == 2
