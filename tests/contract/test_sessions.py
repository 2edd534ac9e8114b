"""Sessions and the locks that they hold: created, renewed, destroyed, and ended by what they depend on."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from registry.agent.api.formats import session_body
from registry.agent.server import serve_agent
from tests.contract.conftest import Api, Reply
from tests.support.consul_process import ConsulProcess

TTL = {"TTL": "1h"}
NO_UUID = "failed session lookup: index error: UUID must be 36 characters"


class Sessions:
    """The sessions of a test."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.created: list[str] = []

    async def create(self, **fields: object) -> str:
        reply = await self.api.put("session/create", fields or None)
        assert reply.status == 200, reply
        self.created.append(reply.json["ID"])
        return self.created[-1]

    async def info(self, session_id: str) -> list[dict[str, object]]:
        found: list[dict[str, object]] = (await self.api.get(f"session/info/{session_id}")).json
        return found


@pytest.fixture
async def sessions(api: Api) -> AsyncIterator[Sessions]:
    """Creates sessions, and ends those that a test leaves."""
    sessions = Sessions(api)
    yield sessions
    for session_id in sessions.created:
        await api.do(f"session/destroy/{session_id}")


async def locked(api: Api, key: str, session: str, value: bytes = b"1") -> bool:
    reply = await api.put(f"kv/{key}?acquire={session}", value)
    assert reply.status == 200, reply
    return bool(reply.json)


async def entry(api: Api, key: str) -> dict[str, object]:
    (found,) = (await api.get(f"kv/{key}")).json
    return {name: found.get(name) for name in ("Session", "LockIndex", "Value")}


async def test_a_session_without_a_body(sessions: Sessions, node: str) -> None:
    """It belongs to the agent's node, depends on its being alive, and releases its locks after 15 s."""
    session_id = await sessions.create()
    (found,) = await sessions.info(session_id)
    assert found.pop("CreateIndex") == found.pop("ModifyIndex")
    assert found == {
        "ID": session_id, "Name": "", "Node": node, "LockDelay": 15_000_000_000, "Behavior": "release", "TTL": "",
        "NodeChecks": ["serfHealth"], "ServiceChecks": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ({"Name": "n", "TTL": "15s", "Behavior": "delete"}, {"Name": "n", "TTL": "15s", "Behavior": "delete"}),
        ({"LockDelay": 5}, {"LockDelay": 5_000_000_000}),
        ({"LockDelay": "500ms"}, {"LockDelay": 500_000_000}),
        ({"LockDelay": 0}, {"LockDelay": 0}),
        ({"Checks": []}, {"NodeChecks": []}),
        ({"Checks": None}, {"NodeChecks": []}),
        ({"Checks": ["serfHealth"]}, {"NodeChecks": ["serfHealth"]}),
        ({"NodeChecks": []}, {"NodeChecks": []}),
        ({"ServiceChecks": []}, {"ServiceChecks": []}),
        ({"Surprise": 1}, {}),
    ],
)
async def test_what_a_session_may_say(sessions: Sessions, asked: dict[str, object], shown: dict[str, object]) -> None:
    """Each field comes back as Consul shows it, and unknown ones are ignored."""
    (found,) = await sessions.info(await sessions.create(**asked))
    assert {name: found[name] for name in shown} == shown
    assert "Checks" not in found


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        ({"TTL": "1s"}, 500, "Invalid Session TTL '1000000000', must be between [10s=24h0m0s]"),
        ({"TTL": "25h"}, 500, "Invalid Session TTL '90000000000000', must be between [10s=24h0m0s]"),
        ({"TTL": "x"}, 500, "Session TTL 'x' invalid: time: invalid duration \"x\""),
        ({"Behavior": "x"}, 500, "Invalid Behavior setting 'x'"),
        ({"Node": "no-such-node"}, 500, "Missing node registration"),
        ({"NodeChecks": ["none"]}, 500, "Missing check 'none' registration"),
        ({"ServiceChecks": [{"ID": "none"}]}, 500, "Missing check 'none' registration"),
        ({"LockDelay": "x"}, 400, 'Request decode failed: time: invalid duration "x"'),
        (b"{", 400, "Request decode failed: unexpected EOF"),
        ({"Name": 5}, 400, "Request decode failed: json: cannot unmarshal number into "),
    ],
)
async def test_a_bad_session(api: Api, body: object, status: int, sentence: str) -> None:
    """What cannot be a session is refused with Consul's status and sentence."""
    reply = await api.put("session/create", body)
    assert (reply.status, reply.text[: len(sentence)]) == (status, sentence)


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("PUT", "session/destroy/", 400, "Missing session"),
        ("PUT", "session/renew/", 400, "Missing session"),
        ("GET", "session/info/", 400, "Missing session"),
        ("GET", "session/node/", 400, "Missing node name"),
        ("PUT", "session/destroy/abc", 500, NO_UUID),
        ("PUT", "session/renew/abc", 500, NO_UUID),
        ("GET", "session/info/abc", 500, NO_UUID),
        ("PUT", f"session/renew/{uuid.UUID(int=1)}", 404, f"Session id '{uuid.UUID(int=1)}' not found"),
        ("PUT", f"session/destroy/{uuid.UUID(int=1)}", 200, "true"),
        ("GET", f"session/info/{uuid.UUID(int=1)}", 200, "[]"),
        ("GET", "session/node/no-such-node", 200, "[]"),
        ("PUT", "session/create?dc=elsewhere", 500, "No path to datacenter"),
        ("PUT", f"kv/a?acquire={uuid.UUID(int=1)}", 500, f'invalid session "{uuid.UUID(int=1)}"'),
        ("PUT", "kv/a?acquire=abc", 500, NO_UUID),
        ("PUT", "kv/a?acquire=", 500, "missing session"),
        ("PUT", "kv/a?release=", 500, "missing session"),
        ("PUT", "kv/no-such-key?release=abc", 200, "false"),
        ("PUT", "kv/a?acquire=b&cas=1", 400, "Conflicting flags: acquire=b&cas=1"),
        ("DELETE", "kv/a?recurse&cas=1", 400, "Conflicting flags: cas=1&recurse="),
    ],
)
async def test_sessions_that_are_not_there(api: Api, method: str, path: str, status: int, text: str) -> None:
    """A session that is unknown, or cannot be one, is answered with Consul's status and sentence."""
    reply = await api.ask(method, path)
    assert (reply.status, reply.text.strip()) == (status, text)


async def test_sessions_are_listed(api: Api, sessions: Sessions, node: str) -> None:
    """All lists have a session while it lives, and an index that moves with them."""
    session_id = await sessions.create()
    for path in ("session/list", f"session/node/{node}"):
        reply = await api.get(path)
        assert session_id in [session["ID"] for session in reply.json]
        watch = await api.blocked(path, reply.index)
        await sessions.create()
        assert (await asyncio.wait_for(watch, 5)).index > reply.index
    renewed = await api.put(f"session/renew/{session_id}")
    assert [session["ID"] for session in renewed.json] == [session_id]
    await api.do(f"session/destroy/{session_id}")
    assert await sessions.info(session_id) == []


async def test_one_session_holds_a_lock(api: Api, sessions: Sessions, name: str) -> None:
    """A key is locked by one session at a time; LockIndex counts acquisitions, and a release may write a value."""
    first, second = await sessions.create(), await sessions.create()
    assert await locked(api, name, first)
    assert await entry(api, name) == {"Session": first, "LockIndex": 1, "Value": "MQ=="}
    assert not await locked(api, name, second)
    assert await locked(api, name, first, b"2")
    assert await entry(api, name) == {"Session": first, "LockIndex": 1, "Value": "Mg=="}
    assert (await api.put(f"kv/{name}?release={second}", b"3")).json is False
    assert (await api.put(f"kv/{name}?release={first}", b"3")).json is True
    assert await entry(api, name) == {"Session": None, "LockIndex": 1, "Value": "Mw=="}
    assert await locked(api, name, second, b"4")
    assert await entry(api, name) == {"Session": second, "LockIndex": 2, "Value": "NA=="}


async def test_a_write_leaves_the_lock(api: Api, sessions: Sessions, name: str) -> None:
    """A plain write changes a locked key, which stays locked; Consul 1.8 forgets the count of acquisitions."""
    session = await sessions.create()
    assert await locked(api, name, session)
    assert (await api.put(f"kv/{name}", b"2")).json is True
    assert await entry(api, name) == {"Session": session, "LockIndex": 0, "Value": "Mg=="}


async def test_a_destroyed_session_releases(api: Api, sessions: Sessions, name: str) -> None:
    """Its keys stay, unlocked, and a watcher of them wakes; without a lock delay another session may follow at once."""
    session = await sessions.create(LockDelay=0)
    assert await locked(api, name, session)
    before = await api.get(f"kv/{name}")
    watch = await api.blocked(f"kv/{name}", before.index)
    await api.do(f"session/destroy/{session}")
    after = await asyncio.wait_for(watch, 5)
    assert (after.index > before.index, "Session" in after.json[0]) == (True, False)
    assert await locked(api, name, await sessions.create())


async def test_a_destroyed_session_deletes(api: Api, sessions: Sessions, name: str) -> None:
    """With the behaviour "delete" its keys go with it, and no others do."""
    session = await sessions.create(Behavior="delete")
    assert await locked(api, f"{name}/a", session)
    assert (await api.put(f"kv/{name}/b", b"1")).json
    await api.do(f"session/destroy/{session}")
    assert (await api.get(f"kv/{name}/?keys")).json == [f"{name}/b"]


async def test_a_lock_delay(api: Api, sessions: Sessions, name: str) -> None:
    """After the end of the session that held it, a key cannot be locked until the lock delay is over."""
    session, next_one = await sessions.create(LockDelay="1s"), await sessions.create()
    assert await locked(api, name, session)
    await api.do(f"session/destroy/{session}")
    assert not await locked(api, name, next_one)
    await api.eventually(lambda: api.put(f"kv/{name}?acquire={next_one}", b"1"), lambda reply: reply.json)


async def test_a_check_that_fails_ends_its_sessions(api: Api, sessions: Sessions, name: str) -> None:
    """A session ends, and its lock with it, when a check that it names turns critical or is removed."""
    check = {"CheckID": f"{name}-c", **TTL, "Status": "passing"}
    await api.register(name, Check=check)
    kept = await sessions.create()
    for end in (f"agent/check/fail/{name}-c", f"agent/service/deregister/{name}"):
        session = await sessions.create(NodeChecks=["serfHealth"], ServiceChecks=[{"ID": f"{name}-c"}], LockDelay=0)
        assert await locked(api, name, session)
        await api.do(end)
        await api.until(f"session/info/{session}", lambda found: not found)
        assert (await entry(api, name))["Session"] is None
        await api.do("agent/service/register", {"Name": name, "Check": check})
        await api.do(f"agent/check/pass/{name}-c")
        await api.until(f"health/checks/{name}", lambda checks: checks and checks[0]["Status"] == "passing")
    assert await sessions.info(kept)


async def test_a_critical_check_carries_no_session(api: Api, name: str) -> None:
    """A session cannot name a check that is critical already."""
    await api.register(name, Check={"CheckID": f"{name}-c", **TTL})
    reply = await api.put("session/create", {"NodeChecks": [f"{name}-c"]})
    assert (reply.status, reply.text) == (500, f"Check '{name}-c' is in critical state")


async def test_a_node_that_goes_ends_its_sessions(api: Api, sessions: Sessions, name: str) -> None:
    """A session of a node without an agent lives as long as the node is in the catalogue."""
    await api.do("catalog/register", {"Node": name, "Address": "192.0.2.1"})
    session = await sessions.create(Node=name, Checks=[])
    assert await locked(api, name, session)
    await api.do("catalog/deregister", {"Node": name})
    assert await sessions.info(session) == []
    assert (await entry(api, name))["Session"] is None


@pytest.mark.timeout(90)
async def test_a_session_that_is_not_renewed(
    consul_binary: Path,
    tmp_path: Path,
    session: aiohttp.ClientSession,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A session lives for its time to live, and at most twice as long: then its lock is released.

    Agents of the test's own allow 2 s; those of the other tests 10 s at least.
    """

    async def outlived(api: Api) -> Reply:
        reply = await api.put("session/create", {"TTL": "2s"})
        assert await locked(api, name, reply.json["ID"])
        index = (await api.get(f"kv/{name}")).index
        return await api.get(f"kv/{name}?index={index}&wait=30s")

    monkeypatch.setattr(session_body, "TTL_MIN_S", 2.0)
    real_consul = ConsulProcess(consul_binary, tmp_path, session_ttl_min="2s")
    await asyncio.to_thread(real_consul.start)
    async with serve_agent(host="127.0.0.1", port=0) as embedded_agent:
        began_s = asyncio.get_running_loop().time()
        apis = [Api(session, embedded_agent.url), Api(session, real_consul.url)]
        for reply in await asyncio.gather(*map(outlived, apis)):
            assert "Session" not in reply.json[0]
        assert 2 < asyncio.get_running_loop().time() - began_s < 29  # before the wait has ended by itself
    await asyncio.to_thread(real_consul.kill)
