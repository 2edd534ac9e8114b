"""The relay before the agent: what it passes on, and how it lies."""

from __future__ import annotations

import json
import zlib
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from benchmarks.attack.relay import ANSWERS, GZIP, LIES, REDIRECTS, Relay, packed_zeros

ENTRIES = [{"Service": {"ID": "a", "Address": "127.0.0.1"}}, {"Service": {"ID": "b", "Address": "127.0.0.1"}}]


@pytest.fixture
async def relay() -> AsyncIterator[TestServer]:
    """A relay before an agent that answers every request with ENTRIES and index 7."""

    async def agent(request: web.Request) -> web.Response:
        return web.json_response(ENTRIES, headers={"X-Consul-Index": "7"})

    agent_app, relay_app = web.Application(), web.Application()
    agent_app.router.add_route("*", "/{path:.*}", agent)
    async with TestServer(agent_app) as behind, ClientSession() as session:
        lying = Relay(str(behind.make_url("")).rstrip("/"), session, packed_zeros(1 << 20))
        relay_app.router.add_route("*", "/{path:.*}", lying.handle)
        async with TestServer(relay_app) as server:
            yield server


async def told(relay: TestServer, lie: str) -> tuple[int, bytes, str | None]:
    """Status, body and index of a health answer while a lie is told."""
    async with ClientSession(auto_decompress=False) as http:
        await http.put(relay.make_url("/lie/") / lie)
        async with http.get(relay.make_url("/v1/health/service/classify"), allow_redirects=False) as answer:
            return answer.status, await answer.read(), answer.headers.get("X-Consul-Index")


async def test_without_a_lie_it_passes_answers_on(relay: TestServer) -> None:
    """Body and index are the agent's."""
    status, body, index = await told(relay, "none")
    assert (status, json.loads(body), index) == (200, ENTRIES, "7")


@pytest.mark.parametrize("lie", LIES)
async def test_a_lie_has_an_older_index(relay: TestServer, lie: str) -> None:
    """The truth follows at the next question."""
    status, body, index = await told(relay, lie)
    assert (status, index) == (200, "6")
    assert body != json.dumps(ENTRIES).encode()


async def test_redirects_lead_to_who_counts_tokens(relay: TestServer) -> None:
    """A client that follows with its token is seen."""
    for name, status in REDIRECTS.items():
        assert (await told(relay, name))[0] == status
    async with ClientSession(headers={"X-Consul-Token": "t"}) as http:
        await http.get(relay.make_url("/v1/status/leader"))
        async with http.get(relay.make_url("/stolen")) as answer:
            assert await answer.json() == {"requests": 1, "tokens": 1}


def test_zeros_are_packed_small() -> None:
    """The stream is whole, checksum and length included, and a thousandth of what it unpacks to."""
    packed = packed_zeros(8 << 20)
    assert zlib.decompress(packed, 31) == bytes(8 << 20)
    assert len(packed) < 16 << 10


def test_lies_leave_all_but_the_first_entry_true() -> None:
    """One registration that is odd must not cost the others."""
    assert GZIP not in ANSWERS
    for name in ("weight 2^50", "weight Infinity", "address 5"):
        first, second = json.loads(ANSWERS[name](json.loads(json.dumps(ENTRIES))))
        assert first != ENTRIES[0]
        assert second == ENTRIES[1]
