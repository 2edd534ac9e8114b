"""Clients of the embedded agent that hold connections, wait in great numbers or do not read, and others beside them."""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack, closing

import aiohttp
import pytest

from registry.agent.api.blocking import waiting
from registry.agent.server import FILES_ASIDE, RunningAgent, serve_agent
from registry.runtime.connections import open_connections, unsent
from registry.runtime.processes import open_files
from tests.support.waiting import until

VALUE_BYTES = 400_000
PATH = "/v1/health/service/a"


async def heartbeat(agent: RunningAgent) -> None:
    """An ordinary write and read are answered, and soon."""
    async with asyncio.timeout(5), aiohttp.ClientSession() as http:
        async with http.put(f"{agent.url}/v1/kv/heartbeat", data=b"1") as answer:
            assert await answer.json() is True
        async with http.get(f"{agent.url}/v1/kv/heartbeat?raw") as answer:
            assert await answer.read() == b"1"


def connected(agent: RunningAgent, *, source: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection((agent.host, agent.port), source_address=(source, 0))


async def watchers(agent: RunningAgent, opened: ExitStack, count: int, *, source: str) -> list[asyncio.StreamReader]:
    """So many requests that wait for a change, from one address."""
    async with aiohttp.request("GET", f"{agent.url}{PATH}") as answer:
        index = answer.headers["X-Consul-Index"]
    readers = []
    for _ in range(count):
        reader, writer = await asyncio.open_connection(agent.host, agent.port, local_addr=(source, 0))
        opened.callback(writer.close)
        writer.write(f"GET {PATH}?index={index}&wait=5m HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        readers.append(reader)
    return readers


async def answered(readers: list[asyncio.StreamReader]) -> list[bytes]:
    return await asyncio.wait_for(asyncio.gather(*(reader.readline() for reader in readers)), 5)


async def test_idle_connections_leave_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that may open few files answers, however many connections are opened and not used."""
    monkeypatch.setattr(open_files, "limit", lambda: FILES_ASIDE + 40)
    async with serve_agent(host="127.0.0.1", port=0) as agent:
        with ExitStack() as opened:
            idle = [opened.enter_context(closing(connected(agent))) for _ in range(100)]
            await heartbeat(agent)
            for sock in idle:
                sock.setblocking(False)

            def ended() -> int:
                return sum(_has_ended(sock) for sock in idle)

            await until(lambda: ended() >= 60)
            await heartbeat(agent)


async def test_requests_that_wait_leave_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that may open few files lets three quarters of its connections wait; the next that would is refused."""
    monkeypatch.setattr(open_files, "limit", lambda: FILES_ASIDE + 40)
    async with serve_agent(host="127.0.0.1", port=0) as agent:
        with ExitStack() as opened:
            waiting_for_change = await watchers(agent, opened, 30, source="127.0.0.2")
            await heartbeat(agent)
            [refused] = await watchers(agent, opened, 1, source="127.0.0.3")
            assert await answered([refused]) == [b"HTTP/1.1 429 Too Many Requests\r\n"]
            await heartbeat(agent)
        assert not any(reader.at_eof() for reader in waiting_for_change)


async def test_one_address_has_a_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests of one address that wait keep none of another address out; after a change there is room again."""
    monkeypatch.setattr(waiting, "FROM_ONE_ADDRESS_AT_MOST", 5)
    async with serve_agent(host="127.0.0.1", port=0) as agent:
        with ExitStack() as opened:
            many = await watchers(agent, opened, 5, source="127.0.0.2")
            await heartbeat(agent)
            [refused] = await watchers(agent, opened, 1, source="127.0.0.2")
            assert await answered([refused]) == [b"HTTP/1.1 429 Too Many Requests\r\n"]
            [other] = await watchers(agent, opened, 1, source="127.0.0.3")
            await heartbeat(agent)
            await register(agent, "a")
            assert set(await answered([*many, other])) == {b"HTTP/1.1 200 OK\r\n"}
            again = await watchers(agent, opened, 5, source="127.0.0.2")
            await heartbeat(agent)
            await register(agent, "a", port=2)
            assert set(await answered(again)) == {b"HTTP/1.1 200 OK\r\n"}


async def test_answers_that_are_not_read_end_their_connection(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A client that asks and does not read is answered one at a time, and cut off; others are answered meanwhile."""
    monkeypatch.setattr(open_connections, "LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(unsent, "STALLED_AFTER_S", 0.5)
    caplog.set_level("INFO")
    async with serve_agent(host="127.0.0.1", port=0) as agent, aiohttp.ClientSession() as http:
        async with http.put(f"{agent.url}/v1/kv/large", data=b"x" * VALUE_BYTES) as answer:
            assert await answer.json() is True
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect((agent.host, agent.port))
            sock.sendall(b"GET /v1/kv/large?raw HTTP/1.1\r\nHost: a\r\n\r\n" * 40)
            await heartbeat(agent)
            await until(lambda: "did not read" in caplog.text)
            received = await asyncio.to_thread(_all_of, sock)
        assert received < 40 * VALUE_BYTES
        await heartbeat(agent)


async def register(agent: RunningAgent, name: str, *, port: int = 1) -> None:
    async with aiohttp.ClientSession() as http:
        body = {"Name": name, "Port": port}
        async with http.put(f"{agent.url}/v1/agent/service/register", json=body) as answer:
            assert answer.status == 200


def _has_ended(sock: socket.socket) -> bool:
    try:
        return sock.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def _all_of(sock: socket.socket) -> int:
    """How many bytes come before the connection ends."""
    sock.settimeout(10)
    received = 0
    try:
        while piece := sock.recv(1 << 20):
            received += len(piece)
    except ConnectionError:
        pass
    return received
