"""The whole agent in this process: where it listens, how it ends, and what it does as time goes by."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest

from registry.agent.agent import Agent
from registry.agent.checks.definitions import CheckDefinition, HttpProbe, ServiceDefinition, TcpProbe, Ttl
from registry.agent.checks.probes import open_session, run_probe
from registry.agent.errors import NotLoopback, PortTaken
from registry.agent.server import RunningAgent, serve_agent
from registry.agent.state.records import Node, Service, Status


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "no.such.host.invalid"])
async def test_it_listens_on_loopback_only(host: str) -> None:
    """A host that others could reach, or that is none of ours, is refused with a sentence that says what to do."""
    with pytest.raises(NotLoopback, match=r"use 127\.0\.0\.1"):
        async with serve_agent(host=host, port=0):
            pass


async def test_a_port_that_is_taken() -> None:
    """A port that something else has is refused by its number."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortTaken, match=str(port)):
            async with serve_agent(host="127.0.0.1", port=port):
                pass


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_it_says_where_it_listens(host: str) -> None:
    """The URL it names is the one that answers, and after the end nothing listens there."""
    async with serve_agent(host=host, port=0) as agent, aiohttp.ClientSession() as session:
        reply = await session.get(f"{agent.url}/v1/status/leader")
        assert await reply.json() == f"127.0.0.1:{agent.port}"
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection(agent.host, agent.port)


async def test_it_ends_at_once_under_hundreds_of_watchers() -> None:
    """Closing releases 300 blocked reads, each with a whole answer, and returns within a second."""
    async with serve_agent(host="127.0.0.1", port=0) as agent:
        watchers = [await asyncio.open_connection(agent.host, agent.port) for _ in range(300)]
        for _, writer in watchers:
            writer.write(b"GET /v1/health/service/a?index=99999&wait=5m HTTP/1.1\r\nHost: a\r\n\r\n")
            await writer.drain()
        for _ in range(3):  # the requests before these have been read when these are answered
            async with aiohttp.request("GET", f"{agent.url}/v1/status/leader") as response:
                assert response.status == 200
        answers = [asyncio.create_task(reader.readline()) for reader, _ in watchers]
        done, _ = await asyncio.wait(answers, timeout=0.1)
        assert not done
        began_s = time.monotonic()
    assert time.monotonic() - began_s < 30  # of 5 minutes
    assert set(await asyncio.wait_for(asyncio.gather(*answers), 5)) == {b"HTTP/1.1 200 OK\r\n"}
    for reader, writer in watchers:
        assert (await reader.read()).endswith(b"[]")
        writer.close()


def test_an_ipv6_address_stands_in_brackets() -> None:
    """The URL of an agent on ::1 is one that clients can use."""
    assert RunningAgent("::1", 8500).url == "http://[::1]:8500"


def an_agent() -> Agent:
    return Agent(node=Node(id="0", name="n", address="127.0.0.1"), port=1, version="0")


def registration(status: Status = Status.CRITICAL, reap_after_s: float | None = 60.0) -> ServiceDefinition:
    check = CheckDefinition("c", "beat", Ttl(1000.0), status=status, service_id="a", reap_after_s=reap_after_s)
    return ServiceDefinition(Service(id="a", name="a"), (check,))


async def test_a_service_critical_for_too_long_is_removed() -> None:
    """A service is reaped when its check was critical for longer than its allowance, and not before."""
    async with an_agent() as agent:
        agent.register(registration())
        now_s = asyncio.get_running_loop().time()
        agent.reap(now_s + 59)
        assert "a" in agent.services
        agent.reap(now_s + 61)
        assert (agent.services, agent.checks) == ({}, {})


async def test_a_heartbeat_restarts_the_reapers_clock() -> None:
    """Only an unbroken time in critical counts."""
    async with an_agent() as agent:
        agent.register(registration())
        agent.heartbeat("c", Status.PASSING, "")
        agent.reap(asyncio.get_running_loop().time() + 1000)
        assert "a" in agent.services
        agent.heartbeat("c", Status.CRITICAL, "")
        agent.reap(asyncio.get_running_loop().time() + 61)
        assert agent.services == {}


async def test_a_registration_restarts_the_reapers_clock() -> None:
    """A service that registers again is alive: its time in critical counts from there."""
    async with an_agent() as agent:
        clock = asyncio.get_running_loop().time
        agent.register(registration())
        await asyncio.sleep(0.01)
        again_s = clock()
        agent.register(registration())
        agent.reap(again_s + 60)
        assert "a" in agent.services


async def test_without_an_allowance_nothing_is_reaped() -> None:
    """A check without DeregisterCriticalServiceAfter never costs a service its place."""
    async with an_agent() as agent:
        agent.register(registration(reap_after_s=None))
        agent.reap(asyncio.get_running_loop().time() + 1e6)
        assert "a" in agent.services


@pytest.mark.parametrize(
    "one",
    [
        HttpProbe(url)
        for url in ("", "nonsense", "http://", "http://[::1", "http://a b/", "ftp://a/", "http://127.0.0.1:99999/",
                    "http://\ud800/", "http://no.such.host.invalid/", "http://127.0.0.1:1/\x00", "http://-/")
    ]
    + [
        HttpProbe("http://127.0.0.1:1/", method="NO SUCH\r\n"),
        HttpProbe("http://127.0.0.1:1/", headers={"a\r\nb": ("c",), "": ("d",)}),
        HttpProbe("https://127.0.0.1:1/", verify_tls=False),
        TcpProbe("nonsense"),
        TcpProbe(":"),
        TcpProbe("127.0.0.1:99999"),
        TcpProbe("[::1]:1"),
        TcpProbe("\ud800:1"),
        TcpProbe("a" * 300 + ":1"),
    ],
    ids=repr,
)  # fmt: skip
async def test_a_probe_of_anything_is_an_outcome(one: HttpProbe | TcpProbe) -> None:
    """Whatever a check names, probing it ends in critical with a reason, and never in an error."""
    async with open_session(True) as session:
        status, output = await asyncio.wait_for(run_probe(one, session), 15)
    assert (status, bool(output)) == (Status.CRITICAL, True)


async def test_a_body_that_does_not_come_to_an_end() -> None:
    """A client that announces more than it sends, or leaves in the middle, disturbs no other client."""
    async with serve_agent(host="127.0.0.1", port=0) as agent, aiohttp.ClientSession() as session:
        _, writer = await asyncio.open_connection(agent.host, agent.port)
        writer.write(b"PUT /v1/kv/a HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf")
        await writer.drain()
        writer.transport.abort()
        async with session.put(f"{agent.url}/v1/kv/a", data=b"whole") as response:
            assert await response.json() is True
        async with session.put(f"{agent.url}/v1/kv/a", data=three_megabytes()) as response:
            assert response.status == 413


async def three_megabytes() -> AsyncIterator[bytes]:
    """A body whose length is not announced."""
    for _ in range(30):
        yield b"x" * 100_000
