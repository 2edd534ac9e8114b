"""Network coordinates: where the agent's node starts, and what a client sets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.contract.conftest import Api

POINT = {"Vec": [0, 0, 0, 0, 0, 0, 0, 1.5], "Error": 1.25, "Adjustment": 0.5, "Height": 0.1}


@pytest.fixture
async def machine(api: Api, name: str) -> AsyncIterator[str]:
    """The name of a node in the catalogue."""
    await api.do("catalog/register", {"Node": name, "Address": "192.0.2.1"})
    yield name
    await api.do("catalog/deregister", {"Node": name})


async def test_the_own_node(api: Api, node: str) -> None:
    """An agent that is alone stands where Serf starts, and says so in all places."""
    start = {"Vec": [0] * 8, "Error": 1.5, "Adjustment": 0, "Height": 1e-5}
    entry = {"Node": node, "Segment": "", "Coord": start}
    # A real agent tells its servers in its first half minute.
    await api.do("coordinate/update", entry)
    await api.eventually(lambda: api.get(f"coordinate/node/{node}"), lambda reply: reply.status == 200)
    assert (await api.get(f"coordinate/node/{node}")).json == [entry]
    assert entry in (await api.get("coordinate/nodes")).json
    assert (await api.get("agent/self")).json["Coord"] == start
    (datacenter,) = (await api.get("coordinate/datacenters")).json
    assert datacenter == {"Datacenter": "dc1", "AreaID": "wan", "Coordinates": [entry]}


async def test_a_client_sets_one(api: Api, machine: str) -> None:
    """What is set is read back, wakes who waits for it, and goes with its node."""
    before = await api.get("coordinate/nodes")
    watch = await api.blocked("coordinate/nodes", before.index)
    await api.do("coordinate/update", {"Node": machine, "Segment": "", "Coord": POINT})
    entry = {"Node": machine, "Segment": "", "Coord": POINT}
    # The real agent sends its own coordinate now and then, which wakes the watcher, too.
    assert (await asyncio.wait_for(watch, 10)).index > before.index
    await api.eventually(lambda: api.get(f"coordinate/node/{machine}"), lambda reply: reply.status == 200)
    reply = await api.get(f"coordinate/node/{machine}")
    assert (reply.json, reply.index > before.index) == ([entry], True)
    assert entry in (await api.get("coordinate/nodes")).json
    assert (await api.get("coordinate/nodes?segment=other")).json == []
    await api.do("catalog/deregister", {"Node": machine})
    assert (await api.get(f"coordinate/node/{machine}")).status == 404


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        (None, 400, "Request decode failed: EOF"),
        ({"Node": "a", "Surprise": 1}, 400, 'Request decode failed: json: unknown field "Surprise"'),
        ({"Node": "a", "Coord": {"Vec": [1]}}, 500, "incompatible coordinate"),
        ({"Node": "a", "Coord": {"Vec": ["b"]}}, 400, "Request decode failed: json: cannot unmarshal string into "),
        ({"Node": "no-such-node", "Coord": POINT}, 200, ""),
    ],
)
async def test_what_cannot_be_set(api: Api, body: object, status: int, sentence: str) -> None:
    """A coordinate of another space is refused, and one of an unknown node is dropped without a word."""
    reply = await api.put("coordinate/update", body)
    assert (reply.status, reply.text[: len(sentence)]) == (status, sentence)


async def test_a_node_that_is_not_there(api: Api) -> None:
    """A node without coordinates is a bare 404, and another datacenter cannot be reached."""
    for path in ("coordinate/node/no-such-node", "coordinate/node/"):
        assert (await api.get(path)).status == 404
    assert (await api.get("coordinate/nodes?dc=elsewhere")).text == "No path to datacenter"


async def test_the_nearest_comes_first(api: Api, name: str) -> None:
    """?near= sorts nodes, services and checks by their distance from a node; without coordinates they come last."""
    nodes = {f"{name}-{letter}": (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, at) for letter, at in (("a", 0.9), ("b", 0.2))}
    unknown, origin = f"{name}-c", f"{name}-d"
    for machine in (*nodes, unknown, origin):
        checks = [{"Name": "c", "ServiceID": name}]
        body = {"Node": machine, "Address": "192.0.2.1", "Service": {"Service": name}, "Checks": checks}
        await api.do("catalog/register", body)
    for machine, vector in (nodes | {origin: (0.0,) * 8}).items():
        await api.do("coordinate/update", {"Node": machine, "Coord": POINT | {"Vec": vector}})
    await api.until("coordinate/nodes", lambda found: {origin, *nodes} <= {entry["Node"] for entry in found})
    by_name = [f"{name}-{letter}" for letter in "abcd"]
    by_distance = [f"{name}-{letter}" for letter in "dbac"]
    for query, order in (("", by_name), (f"?near={origin}", by_distance), ("?near=none", by_name)):
        assert [row["Node"] for row in (await api.get(f"catalog/service/{name}{query}")).json] == order
        assert [row["Node"]["Node"] for row in (await api.get(f"health/service/{name}{query}")).json] == order
        assert [check["Node"] for check in (await api.get(f"health/checks/{name}{query}")).json] == order
        listed = [entry["Node"] for entry in (await api.get(f"catalog/nodes{query}")).json]
        assert [machine for machine in listed if machine in order] == order
    for machine in by_name:
        await api.do("catalog/deregister", {"Node": machine})
