"""Transactions: several operations as one change, or none of them and a list of what failed."""

from __future__ import annotations

import asyncio
import uuid
from base64 import b64encode
from typing import Any

import pytest

from tests.contract.conftest import Api, Reply

READ_META = {"Index": 0, "LastContact": 0, "KnownLeader": True, "ConsistencyLevel": ""}


def key(verb: str, name: str, **fields: object) -> dict[str, object]:
    return {"KV": {"Verb": verb, "Key": name, **fields}}


def value(text: str) -> str:
    return b64encode(text.encode()).decode()


async def transact(api: Api, *operations: dict[str, object]) -> Reply:
    return await api.put("txn", list(operations))


async def done(api: Api, *operations: dict[str, object]) -> list[dict[str, Any]]:
    """The results of a transaction that must succeed."""
    reply = await transact(api, *operations)
    assert (reply.status, reply.json["Errors"]) == (200, None), reply
    results: list[dict[str, Any]] = reply.json["Results"]
    return results


async def failures(api: Api, *operations: dict[str, object]) -> list[tuple[int, str]]:
    """The failures of a transaction that must fail."""
    reply = await transact(api, *operations)
    assert (reply.status, reply.json["Results"]) == (409, None), reply
    return [(failure["OpIndex"], failure["What"]) for failure in reply.json["Errors"]]


async def test_writes_and_reads(api: Api, name: str) -> None:
    """All writes have one index; a read sees what was written before it, and only a get shows values."""
    results = await done(
        api,
        key("set", f"{name}/a", Value=value("1"), Flags=3),
        key("cas", f"{name}/b", Value=value("2"), Index=0),
        key("get", f"{name}/a"),
        key("get-tree", f"{name}/"),
        key("delete", f"{name}/b"),
        key("check-not-exists", f"{name}/b"),
        key("get-tree", f"{name}/"),
    )
    pairs = [result["KV"] for result in results]
    assert [(p["Key"], p["Value"]) for p in pairs] == [
        (f"{name}/a", None), (f"{name}/b", None), (f"{name}/a", "MQ=="), (f"{name}/a", "MQ=="), (f"{name}/b", "Mg=="),
        (f"{name}/a", "MQ=="),
    ]  # fmt: skip
    assert pairs[0] == {
        "LockIndex": 0, "Key": f"{name}/a", "Flags": 3, "Value": None, "CreateIndex": pairs[0]["ModifyIndex"],
        "ModifyIndex": pairs[0]["ModifyIndex"],
    }  # fmt: skip
    assert len({p["ModifyIndex"] for p in pairs}) == 1
    assert (await api.get(f"kv/{name}/a")).json[0]["ModifyIndex"] == pairs[0]["ModifyIndex"]


async def test_only_reads(api: Api, name: str) -> None:
    """A transaction that only reads says how current its response is."""
    await done(api, key("set", name, Value=value("1")))
    reply = await transact(api, key("get", name), {})
    assert (len(reply.json["Results"]), reply.headers["X-Consul-KnownLeader"]) == (1, "true")
    assert {field: reply.json[field] for field in READ_META} == READ_META
    assert (await transact(api)).json == {"Results": [], "Errors": None, **READ_META}


async def test_all_or_nothing(api: Api, name: str) -> None:
    """One failure undoes everything, wakes no watcher, and every failure is named."""
    (written,) = await done(api, key("set", f"{name}/a", Value=value("1")))
    index = written["KV"]["ModifyIndex"]
    watch = await api.blocked(f"kv/{name}/a", index)
    unknown = str(uuid.uuid4())
    a, none = f"{name}/a", f"{name}/none"
    assert await failures(
        api,
        key("set", f"{name}/b"),
        key("delete-tree", none),
        key("check-index", a, Index=1),
        key("check-session", a, Session="x"),
        key("check-not-exists", a),
        key("cas", a, Index=1),
        key("delete-cas", a, Index=1),
        key("lock", a),
        key("lock", a, Session=unknown),
        key("unlock", a, Session="x"),
        key("check-index", none, Index=1),
        key("check-session", none, Session="x"),
        key("get", none),
        key("nonsense", a),
        key("set", a, Value=value("2")),
    ) == [
        (2, f'failed index check for key "{a}", current modify index {index} != 1'),
        (3, f'failed session check for key "{a}", current session "" != "x"'),
        (4, f'key "{a}" exists'),
        (5, f'failed to set key "{a}", index is stale'),
        (6, f'failed to delete key "{a}", index is stale'),
        (7, "missing session"),
        (8, f'invalid session "{unknown}"'),
        (9, f'failed to unlock key "{a}", lock isn\'t held, or is held by another session'),
        (10, f'failed to check index, key "{none}" doesn\'t exist'),
        (11, f'failed to check session, key "{none}" doesn\'t exist'),
        (12, f'key "{none}" doesn\'t exist'),
        (13, 'unknown KV verb "nonsense"'),
    ]
    assert (await api.get(f"kv/{name}/b")).status == 404
    assert not watch.done()
    await done(api, key("set", a, Value=value("3")))
    assert (await asyncio.wait_for(watch, 5)).json[0]["Value"] == value("3")


async def test_locks(api: Api, name: str) -> None:
    """A transaction locks and unlocks for a session, and respects the lock of another and its delay."""
    first = (await api.put("session/create", {"LockDelay": "60s"})).json["ID"]
    second = (await api.put("session/create")).json["ID"]
    (held,) = await done(api, key("lock", name, Session=first))
    assert (held["KV"]["Session"], held["KV"]["LockIndex"]) == (first, 1)
    assert len(await done(api, key("check-session", name, Session=first), key("check-index", name,
               Index=held["KV"]["ModifyIndex"]))) == 2  # fmt: skip
    assert await failures(api, key("lock", name, Session=second)) == [
        (0, f'failed to lock key "{name}", lock is already held')
    ]
    await done(api, key("unlock", name, Session=first), key("lock", name, Session=first))
    await api.do(f"session/destroy/{first}")
    assert await failures(api, key("lock", name, Session=second)) == [
        (0, f'failed to lock key "{name}" due to lock delay')
    ]
    await api.do(f"session/destroy/{second}")


async def test_the_catalogue(api: Api, name: str) -> None:
    """Nodes, services and checks are set, read and removed in one transaction, and compared with their index."""
    node = {"Node": name, "Address": "192.0.2.1"}
    service = {"ID": f"{name}-1", "Service": name, "Port": 5}
    check = {"Node": name, "CheckID": "c", "Name": "c", "ServiceID": f"{name}-1", "Status": "passing"}
    results = await done(
        api,
        {"Node": {"Verb": "set", "Node": node}},
        {"Service": {"Verb": "set", "Node": name, "Service": service}},
        {"Check": {"Verb": "set", "Check": check}},
        {"Node": {"Verb": "get", "Node": {"Node": name}}},
        {"Service": {"Verb": "get", "Node": name, "Service": {"ID": f"{name}-1"}}},
        {"Check": {"Verb": "get", "Check": {"Node": name, "CheckID": "c"}}},
    )
    index = results[0]["Node"]["ModifyIndex"]
    assert [list(result) for result in results] == [["Node"], ["Service"], ["Check"]] * 2
    assert results[1] == results[4] == {
        "Service": {
            "ID": f"{name}-1", "Service": name, "Tags": None, "Address": "", "Meta": None, "Port": 5,
            "Weights": {"Passing": 1, "Warning": 1}, "EnableTagOverride": False,
            "Proxy": {"MeshGateway": {}, "Expose": {}}, "Connect": {}, "CreateIndex": index, "ModifyIndex": index,
        }
    }  # fmt: skip
    assert (results[2]["Check"]["ServiceName"], results[2]["Check"]["ServiceTags"]) == (name, None)
    assert len((await api.get(f"health/service/{name}")).json) == 1

    stale = {"ModifyIndex": 1}
    assert await failures(
        api,
        {"Node": {"Verb": "cas", "Node": node | stale}},
        {"Service": {"Verb": "cas", "Node": name, "Service": service | stale}},
        {"Check": {"Verb": "cas", "Check": check | stale}},
        {"Node": {"Verb": "get", "Node": {"Node": "none"}}},
        {"Service": {"Verb": "get", "Node": name, "Service": {"ID": "none"}}},
        {"Check": {"Verb": "get", "Check": {"Node": name, "CheckID": "none"}}},
        {"Node": {"Verb": "delete-cas", "Node": node | stale}},
        {"Service": {"Verb": "delete-cas", "Node": name, "Service": service | stale}},
        {"Check": {"Verb": "delete-cas", "Check": check | stale}},
        {"Node": {"Verb": "x", "Node": node}},
        {"Service": {"Verb": "x", "Node": name, "Service": service}},
        {"Check": {"Verb": "x", "Check": check}},
        {"Service": {"Verb": "set", "Node": "none", "Service": service}},
        {"Check": {"Verb": "set", "Check": {"Node": name, "Name": "d", "ServiceID": "none"}}},
    ) == [
        (0, f'failed to set node "{name}", index is stale'),
        (1, f'failed to set service "{name}-1" on node "{name}", index is stale'),
        (2, f'failed to set check "c" on node "{name}", index is stale'),
        (3, 'node "none" doesn\'t exist'),
        (4, f'service "none" on node "{name}" doesn\'t exist'),
        (5, f'check "none" on node "{name}" doesn\'t exist'),
        (6, f'failed to delete node "{name}", index is stale'),
        (7, f'failed to delete service "{name}-1" on node "{name}", index is stale'),
        (8, f'failed to delete check "c" on node "{name}", index is stale'),
        (9, 'unknown Node verb "x"'),
        (10, 'unknown Service verb "x"'),
        (11, 'unknown Check verb "x"'),
        (12, "Missing node registration"),
        (13, "Missing service registration"),
    ]
    now = {"ModifyIndex": index}
    assert await done(
        api,
        {"Check": {"Verb": "delete-cas", "Check": check | now}},
        {"Service": {"Verb": "delete-cas", "Node": name, "Service": service | now}},
        {"Node": {"Verb": "delete", "Node": {"Node": name}}},
    ) == []  # fmt: skip
    assert (await api.get(f"catalog/node/{name}")).json is None


@pytest.mark.parametrize(
    ("operations", "failed"),
    [
        ([key("set", "")], [(0, "Must provide key")]),
        ([{"Node": {"Verb": "set", "Node": {}}}], [(0, "Must provide node")]),
        ([{"Service": {"Verb": "set", "Node": "a", "Service": {"ID": "b"}}}],
         [(0, "Must provide service name with ID")]),
    ],
)  # fmt: skip
async def test_what_is_looked_at_first(
    api: Api, operations: list[dict[str, object]], failed: list[tuple[int, str]]
) -> None:
    """An operation without a name fails before any other is tried."""
    assert await failures(api, *operations, key("get", "no-such-key")) == failed


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        (None, 400, "Failed to parse body: EOF"),
        ({}, 400, "Failed to parse body: json: cannot unmarshal object into "),
        ([{"Surprise": 1}], 400, 'Failed to parse body: json: unknown field "Surprise"'),
        ([{"KV": {"Surprise": 1}}], 400, 'Failed to parse body: json: unknown field "Surprise"'),
        ([key("set", "a", Value="!")], 400, "Failed to parse body: illegal base64 data"),
        ([key("set", "a", Value=5)], 400, "Failed to parse body: json: cannot unmarshal number into "),
        ([key("get", "a")] * 65, 413, "Transaction contains too many operations (65 > 64)"),
    ],
)
async def test_a_bad_transaction(api: Api, body: object, status: int, sentence: str) -> None:
    """A body that is no list of operations is refused with Consul's status and sentence."""
    reply = await api.put("txn", body)
    assert (reply.status, reply.text[: len(sentence)]) == (status, sentence)


async def test_another_datacenter(api: Api) -> None:
    """Neither a read nor a write reaches a datacenter that is not there."""
    for verb in ("get", "set"):
        reply = await api.put("txn?dc=elsewhere", [key(verb, "a")])
        assert (reply.status, reply.text) == (500, "No path to datacenter")
