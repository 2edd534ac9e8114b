"""What only the embedded agent has to keep: a bound on its memory, and honest answers to what it does not have."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest

from tests.contract.conftest import Api, Consul

MEMORY_MB = 80


def resident_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))


@pytest.fixture
def ours(embedded_agent: Consul, session: aiohttp.ClientSession) -> Api:
    return Api(session, embedded_agent.url)


async def test_memory(embedded_agent: Consul, ours: Api, name: str) -> None:
    """With 300 blocked watchers, and after all other tests that ran before, it stays below 80 MB."""
    index = (await ours.register(name)).index
    watches = await asyncio.gather(*(ours.blocked(f"health/service/{name}", index) for _ in range(300)))
    assert resident_mb(embedded_agent.pid) < MEMORY_MB
    await ours.do(f"agent/service/deregister/{name}")
    await asyncio.wait_for(asyncio.gather(*watches), 10)


@pytest.mark.parametrize(
    ("method", "path", "word"),
    [
        ("PUT", "session/create", "real Consul"),
        ("PUT", "txn", "real Consul"),
        ("PUT", "catalog/register", "real Consul"),
        ("GET", "event/list", "real Consul"),
        ("PUT", "agent/leave", "real Consul"),
        ("PUT", "kv/a?acquire=b", "sessions"),
        ("GET", "health/service/a?filter=b", "filter"),
    ],
)
async def test_what_it_does_not_have(ours: Api, method: str, path: str, word: str) -> None:
    """What Consul has and this agent has not is refused with 501 and a sentence that says so."""
    reply = await ours.ask(method, path)
    assert reply.status == 501
    assert word in reply.text


async def test_it_says_what_it_is(ours: Api) -> None:
    """Its version names the API that it speaks, and that it is embedded."""
    assert (await ours.get("agent/self")).json["Config"]["Version"] == "1.8.7+embedded"
