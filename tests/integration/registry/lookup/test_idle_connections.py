"""Connections to the lookup service on which nothing, or nothing whole, comes."""

from __future__ import annotations

import asyncio

import pytest

import registry.server
from registry.consul.settings import ConsulSettings
from registry.server import running
from registry.settings import RegistrySettings
from tests.support.consul_process import ConsulProcess

IDLE_S = 0.3
PLAIN = b"GET /next HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(autouse=True)
def short_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Idle connections are closed in tenths of a second, not after 75 s."""
    monkeypatch.setattr(registry.server, "IDLE_S", IDLE_S)


def settings(consul: ConsulProcess) -> RegistrySettings:
    return RegistrySettings(backend=ConsulSettings(url=consul.url), port=0, service="idle")


@pytest.mark.parametrize("sent", [b"", b"GET /next HT", PLAIN[:-2], PLAIN.replace(b"/next", b"/healthz") + b"GET"])
async def test_what_never_gets_whole_is_closed(shared_consul: ConsulProcess, sent: bytes) -> None:
    """A connection that sends nothing, half a request, or half of a second one, is closed by the server."""
    async with running(settings(shared_consul)) as lookup:
        reader, writer = await asyncio.open_connection("127.0.0.1", lookup.port)
        writer.write(sent)
        async with asyncio.timeout(20 * IDLE_S):
            while await reader.read(1 << 16):
                pass
        writer.close()


async def test_a_busy_connection_is_kept(shared_consul: ConsulProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection on which lookups come is kept for as long as they do."""
    idle_s = 1.0  # a busy machine may hold up the next lookup
    monkeypatch.setattr(registry.server, "IDLE_S", idle_s)
    async with running(settings(shared_consul)) as lookup:
        reader, writer = await asyncio.open_connection("127.0.0.1", lookup.port)
        end_s = asyncio.get_running_loop().time() + 1.5 * idle_s
        while asyncio.get_running_loop().time() < end_s:
            writer.write(PLAIN)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 503")
            await reader.readline()
            await asyncio.sleep(idle_s / 20)
        writer.close()


async def test_two_thousand_idle_connections_leave_lookups_alone(shared_consul: ConsulProcess) -> None:
    """With 2,000 idle connections open, every lookup on a new connection is still answered."""
    async with running(settings(shared_consul)) as lookup:
        idle = [await asyncio.open_connection("127.0.0.1", lookup.port) for _ in range(2000)]
        for _ in range(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", lookup.port)
            writer.write(PLAIN)
            assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"HTTP/1.1 503")
            writer.close()
        for _, writer in idle:
            writer.close()
