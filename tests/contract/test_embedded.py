"""What only the embedded agent must keep: a bound on its memory, and plain responses to what it does not have."""

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
    ("method", "path"),
    [
        ("PUT", "agent/leave"),
        ("PUT", "agent/join/192.0.2.1"),
        ("GET", "agent/monitor?loglevel=info"),
        ("GET", "agent/metrics"),
        ("GET", "agent/host"),
        ("PUT", "config"),
        ("POST", "query"),
        ("PUT", "query/a"),
        ("GET", "snapshot"),
        ("PUT", "snapshot"),
        ("GET", "internal/ui/services"),
        ("PUT", "operator/autopilot/configuration"),
    ],
)
async def test_what_it_does_not_have(ours: Api, method: str, path: str) -> None:
    """What has no switch of its own in Consul is refused as by an agent whose block_endpoints names it."""
    reply = await ours.ask(method, path)
    assert (reply.status, reply.text) == (403, "Endpoint is blocked by agent configuration")


@pytest.mark.parametrize(
    "field", [{"Kind": "connect-proxy"}, {"Connect": {"Native": True}}, {"Connect": {"SidecarService": {}}}]
)
async def test_no_service_mesh(ours: Api, field: dict[str, object]) -> None:
    """A registration for the service mesh is refused with a sentence that names what to leave out."""
    reply = await ours.put("agent/service/register", {"Name": "a", **field})
    assert (reply.status, "no service mesh" in reply.text) == (400, True)


async def test_it_says_what_it_is(ours: Api) -> None:
    """Its version names the API that it speaks, and that it is embedded."""
    assert (await ours.get("agent/self")).json["Config"]["Version"] == "1.8.7+embedded"
