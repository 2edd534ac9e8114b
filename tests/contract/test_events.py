"""Events: fired, filtered by node, service and tag, listed with an index, and waited for."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from tests.contract.conftest import Api


async def listed(api: Api, name: str) -> list[str]:
    return [event["ID"] for event in (await api.get(f"event/list?name={name}")).json]


async def test_an_event_is_kept(api: Api, name: str) -> None:
    """A fired event comes back with its id, then is listed under its name with a Lamport time."""
    fired = (await api.put(f"event/fire/{name}?node=.", b"hi")).json
    assert fired == {
        "ID": fired["ID"], "Name": name, "Payload": "aGk=", "NodeFilter": ".", "ServiceFilter": "", "TagFilter": "",
        "Version": 1, "LTime": 0,
    }  # fmt: skip
    reply = await api.until(f"event/list?name={name}", len)
    (event,) = reply.json
    assert event | {"LTime": 0} == fired
    assert event["LTime"] > 0
    assert reply.index == (uuid.UUID(fired["ID"]).int >> 64) ^ (uuid.UUID(fired["ID"]).int & (2**64 - 1))
    assert fired["ID"] in [event["ID"] for event in (await api.get("event/list")).json]


async def test_an_event_without_a_body(api: Api, name: str) -> None:
    """Its payload is null."""
    assert (await api.put(f"event/fire/{name}")).json["Payload"] is None


async def test_no_events(api: Api, name: str) -> None:
    """A name under which nothing was fired has an empty list, and an index that can be waited for."""
    reply = await api.get(f"event/list?name={name}")
    assert (reply.json, reply.index) == ([], 1)


async def test_waiting_for_an_event(api: Api, name: str) -> None:
    """A list read with the index of the last event waits for the next one."""
    await api.do(f"event/fire/{name}")
    before = await api.until(f"event/list?name={name}", len)
    watch = await api.blocked(f"event/list?name={name}", before.index)
    fired = (await api.put(f"event/fire/{name}")).json["ID"]
    after = await asyncio.wait_for(watch, 5)
    assert (after.json[-1]["ID"], after.index != before.index) == (fired, True)


async def test_filters(api: Api, name: str, node: str) -> None:
    """Only an event whose node, service and tag filters match this agent is kept."""
    await api.register(name, Tags=["blue"])
    kept, dropped = [], []
    for query, matches in (
        (f"node={node}", True),
        ("node=no-such-node", False),
        (f"service=^{name}$", True),
        (f"service={name}x", False),
        (f"service={name}&tag=^bl", True),
        (f"service={name}&tag=red", False),
    ):
        fired = (await api.put(f"event/fire/{name}?{query}")).json["ID"]
        (kept if matches else dropped).append(fired)
    last = (await api.put(f"event/fire/{name}")).json["ID"]
    await api.until(f"event/list?name={name}", lambda events: last in [event["ID"] for event in events])
    found = await listed(api, name)
    assert set(found) == {*kept, last}


@pytest.mark.parametrize(
    ("method", "path", "status", "sentence"),
    [
        ("PUT", "event/fire/", 400, "Missing name"),
        ("PUT", "event/fire/a?tag=b", 500, "Cannot provide tag filter without service filter"),
        ("PUT", "event/fire/a?node=(", 500, "Invalid node filter: error parsing regexp: "),
        ("PUT", "event/fire/a?service=(", 500, "Invalid service filter: error parsing regexp: "),
        ("PUT", "event/fire/a?service=b&tag=(", 500, "Invalid tag filter: error parsing regexp: "),
        ("PUT", "event/fire/a?dc=elsewhere", 500, "No path to datacenter"),
        ("GET", "event/list?index=x", 400, "Invalid index"),
        ("GET", "event/list?wait=x", 400, "Invalid wait time"),
    ],
)
async def test_a_bad_event(api: Api, method: str, path: str, status: int, sentence: str) -> None:
    """What cannot be fired or listed is refused with Consul's status and sentence."""
    reply = await api.ask(method, path)
    assert (reply.status, reply.text[: len(sentence)]) == (status, sentence)
