"""A real lookup service that is killed, or hangs, while a client looks up at each call."""

from __future__ import annotations

import signal
import time

import aiohttp

from p2pclient import AsyncClient, timeouts
from p2pclient.discovery import stale_workers
from tests.support.command_process import Command, command, free_port
from tests.support.waiting import until

TURN_S = 2.0
"""What a lookup service may take here before a call goes on without it: what takes less has not waited for it."""


async def says_ok(url: str) -> bool:
    try:
        async with aiohttp.ClientSession() as http, http.get(url) as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


async def waited(client: AsyncClient, image: bytes) -> int:
    """How many of a few calls one after another wait for the lookup service."""
    return sum([(await client.classify(image)).took_s >= TURN_S for _ in range(6)])


async def asked_again(client: AsyncClient) -> None:
    """Wait until calls ask a lookup service again that was away."""
    await until(lambda: not client._core.channel("classify").stale_workers.away(time.monotonic()))


async def test_calls_go_on_while_the_lookup_service_is_killed_or_hangs(fleet, monkeypatch):
    """Killed: no call waits. Stopped: one call waits for its turn, the others do not. Then the rotation is back."""
    monkeypatch.setattr(timeouts, "LOOKUP_TURN_S", TURN_S)
    monkeypatch.setattr(stale_workers, "LOOKUP_TURN_S", TURN_S)
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
                assert await waited(client, fleet.jpeg) == 0
                running.send(signal.SIGKILL)
                await running.ended()
                assert await waited(client, fleet.jpeg) == 0
            async with command(*registry) as running:
                await ready(running)
                await asked_again(client)
                running.send(signal.SIGSTOP)
                assert await waited(client, fleet.jpeg) == 1
                running.send(signal.SIGCONT)
                await asked_again(client)
                assert {(await client.classify(fleet.jpeg)).worker for _ in range(2)} == {w.address for w in workers}


async def named_both(client: AsyncClient) -> bool:
    return len(await client.lookup(count=2)) == 2
