"""Registrations that go into the catalogue itself: nodes without an agent, their services and their checks."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest

from tests.contract.conftest import Api

ADDRESS = "192.0.2.1"


@pytest.fixture
async def machine(api: Api, name: str) -> AsyncIterator[str]:
    """The name of a node for the test, which is removed afterwards."""
    yield name
    await api.do("catalog/deregister", {"Node": name})


async def register(api: Api, **fields: object) -> None:
    reply = await api.put("catalog/register", {"Address": ADDRESS, **fields})
    assert (reply.status, reply.text.strip()) == (200, "true")


async def test_a_node_with_everything(api: Api, machine: str) -> None:
    """A node, its service and their checks come back from all endpoints in their shapes."""
    await register(
        api,
        Node=machine,
        TaggedAddresses={"lan": ADDRESS, "wan": "198.51.100.1"},
        NodeMeta={"rack": "7"},
        Service={"Service": machine, "Tags": ["t"], "Port": 8, "Meta": {"m": "1"}},
        Check={"Name": f"{machine}-c", "Status": "passing", "ServiceID": machine},
        Checks=[{"CheckID": f"{machine}-n", "Name": "disk", "Status": "warning", "Notes": "nn", "Output": "oo"}],
    )
    (entry,) = (await api.get(f"health/service/{machine}")).json
    index = entry["Node"]["CreateIndex"]
    indexes = {"CreateIndex": index, "ModifyIndex": index}
    node = {
        "ID": "", "Node": machine, "Address": ADDRESS, "Datacenter": "dc1",
        "TaggedAddresses": {"lan": ADDRESS, "wan": "198.51.100.1"}, "Meta": {"rack": "7"}, **indexes,
    }  # fmt: skip
    service = {
        "ID": machine, "Service": machine, "Tags": ["t"], "Address": "", "Meta": {"m": "1"}, "Port": 8,
        "Weights": {"Passing": 1, "Warning": 1}, "EnableTagOverride": False,
        "Proxy": {"MeshGateway": {}, "Expose": {}}, "Connect": {}, **indexes,
    }  # fmt: skip
    disk = {
        "Node": machine, "CheckID": f"{machine}-n", "Name": "disk", "Status": "warning", "Notes": "nn",
        "Output": "oo", "ServiceID": "", "ServiceName": "", "ServiceTags": [], "Type": "", "Definition": {},
        **indexes,
    }  # fmt: skip
    own = {
        "Node": machine, "CheckID": f"{machine}-c", "Name": f"{machine}-c", "Status": "passing", "Notes": "",
        "Output": "", "ServiceID": machine, "ServiceName": machine, "ServiceTags": ["t"], "Type": "",
        "Definition": {}, **indexes,
    }  # fmt: skip
    assert entry == {"Node": node, "Service": service, "Checks": [disk, own]}
    assert (await api.get(f"health/node/{machine}")).json == [own, disk]
    assert (await api.get(f"health/checks/{machine}")).json == [own]
    assert (await api.get(f"catalog/node/{machine}")).json == {"Node": node, "Services": {machine: service}}
    assert (await api.get(f"catalog/node-services/{machine}")).json == {"Node": node, "Services": [service]}
    assert node in (await api.get("catalog/nodes")).json
    (row,) = (await api.get(f"catalog/service/{machine}?node-meta=rack:7")).json
    assert (row["Node"], row["NodeMeta"], row["ServiceID"], row["ServiceTags"]) == (
        machine, {"rack": "7"}, machine, ["t"],
    )  # fmt: skip
    assert (await api.get(f"catalog/service/{machine}?node-meta=rack:8")).json == []
    assert own in (await api.get("health/state/passing")).json
    assert disk in (await api.get("health/state/warning")).json
    assert machine not in (await api.get("agent/services")).json


async def test_a_node_is_only_updated_if_it_may_be(api: Api, machine: str) -> None:
    """SkipNodeUpdate leaves a node as it is, and makes one that is not there; without it the node is written."""
    await register(api, Node=machine, TaggedAddresses={"wan": "198.51.100.1"})
    skipped = {"Node": machine, "SkipNodeUpdate": True, "Service": {"Service": machine}}
    assert (await api.put("catalog/register", skipped)).json is True
    found = (await api.get(f"catalog/node/{machine}")).json
    assert (found["Node"]["Address"], found["Node"]["TaggedAddresses"]) == (ADDRESS, {"wan": "198.51.100.1"})
    assert list(found["Services"]) == [machine]
    await register(api, Node=machine, Address="192.0.2.2")
    changed = (await api.get(f"catalog/node/{machine}")).json["Node"]
    assert (changed["Address"], changed["TaggedAddresses"], changed["Meta"]) == ("192.0.2.2", None, None)
    assert changed["ModifyIndex"] > changed["CreateIndex"]
    other = f"{machine}-other"
    assert (await api.put("catalog/register", skipped | {"Node": other})).json is True
    assert (await api.get(f"catalog/node/{other}")).json["Node"]["Address"] == ""
    await api.do("catalog/deregister", {"Node": other})


async def test_how_a_check_is_run(api: Api, machine: str) -> None:
    """What a registration says about how its check is run is kept, with durations in Go's words."""
    definition = {"HTTP": "http://x", "Interval": "90s", "Timeout": 1_500_000_000}
    await register(api, Node=machine, Check={"Name": "h", "Definition": definition})
    (check,) = (await api.get(f"health/node/{machine}")).json
    assert (check["CheckID"], check["Status"], check["Type"]) == ("h", "critical", "http")
    assert check["Definition"] == {"Interval": "1m30s", "Timeout": "1.5s", "HTTP": "http://x"}


async def test_writing_it_again_changes_nothing(api: Api, machine: str) -> None:
    """The same registration moves no index; a check's new output, unlike an agent's, does."""
    fields = {"Node": machine, "Service": {"Service": machine}, "Check": {"Name": "c", "ServiceID": machine}}
    await register(api, **fields)
    before = await api.get(f"health/service/{machine}")
    await register(api, **fields)
    assert (await api.get(f"health/service/{machine}")).index == before.index
    await register(api, **fields | {"Check": {"Name": "c", "ServiceID": machine, "Output": "new"}})
    assert (await api.get(f"health/service/{machine}")).index > before.index


async def test_a_change_of_the_node_wakes_its_services(api: Api, machine: str) -> None:
    """A node's new address wakes the watchers of its services, of its own entry and of the list of nodes."""
    await register(api, Node=machine, Service={"Service": machine})
    paths = (f"health/service/{machine}", f"catalog/service/{machine}", f"catalog/node/{machine}", "catalog/nodes")
    watches = [await api.blocked(path, (await api.get(path)).index) for path in paths]
    await register(api, Node=machine, Address="192.0.2.9")
    for reply in await asyncio.wait_for(asyncio.gather(*watches), 5):
        assert "192.0.2.9" in reply.text


async def test_deregistering(api: Api, machine: str) -> None:
    """A service goes with its checks, a check alone, and a node with all that is on it."""
    service = {"Service": machine}
    checks = [{"Name": "s", "ServiceID": machine}, {"Name": "n"}, {"Name": "m"}]
    await register(api, Node=machine, Service=service, Checks=checks)
    for body, left in (({"CheckID": "n"}, ["m", "s"]), ({"ServiceID": machine}, ["m"]), ({}, [])):
        assert (await api.put("catalog/deregister", {"Node": machine, **body})).json is True
        found = (await api.get(f"health/node/{machine}")).json
        assert [check["CheckID"] for check in found] == left
    assert (await api.get(f"catalog/node/{machine}")).json is None
    assert (await api.get(f"health/service/{machine}")).json == []
    assert (await api.put("catalog/deregister", {"Node": machine})).json is True


@pytest.mark.parametrize(
    ("path", "body", "status", "sentence"),
    [
        ("register", None, 400, "Request decode failed: EOF"),
        ("register", {"Node": "a", "Address": "b", "Surprise": 1}, 400, "Request decode failed: json: unknown field "),
        ("register", {}, 500, "Must provide node"),
        ("register", {"Node": "a"}, 500, "Must provide address if SkipNodeUpdate is not set"),
        ("register", {"Node": "a", "Address": "b", "ID": "c"}, 500, "Bad node ID: uuid string is wrong length"),
        ("register", {"Node": "a", "Address": "b", "Datacenter": "elsewhere"}, 500, "No path to datacenter"),
        ("register", {"Node": "a", "Address": "b", "Service": {"ID": "c"}}, 500,
         "Must provide service name with ID"),
        ("register", {"Node": "a", "Address": "b", "Service": {}}, 500,
         "failed inserting service: failed inserting service: object missing primary index"),
        ("register", {"Node": "a", "Address": "b", "Service": {"Service": "c", "Address": "0.0.0.0"}}, 500,
         "Invalid service address"),
        ("register", {"Node": "a", "Address": "b", "Check": {"Name": "c", "ServiceID": "none"}}, 500,
         'failed inserting check: Missing service registration on node "a"'),
        ("register", {"Node": "a", "Address": "b", "Check": {"Status": "passing"}}, 500,
         'failed inserting check: failed inserting check: object missing primary index on node "a"'),
        ("register", {"Node": "a", "Address": "b", "Check": {"Name": "c", "Node": "d"}}, 500,
         'check node "d" does not match node "a"'),
        ("deregister", None, 400, "Request decode failed: EOF"),
        ("deregister", {}, 500, "Must provide node"),
        ("deregister", {"Node": "a", "Surprise": 1}, 400, "Request decode failed: json: unknown field "),
        ("deregister", {"Node": "a", "Datacenter": "elsewhere"}, 500, "No path to datacenter"),
    ],
)  # fmt: skip
async def test_a_bad_registration(api: Api, path: str, body: object, status: int, sentence: str) -> None:
    """What cannot be registered is refused with Consul's status and sentence, and leaves nothing behind."""
    reply = await api.put(f"catalog/{path}", body)
    assert (reply.status, reply.text[: len(sentence)]) == (status, sentence)
    assert (await api.get("catalog/node/a")).json is None


async def test_the_name_of_a_living_node(api: Api, node: str) -> None:
    """A registration with another id cannot take the name of a node whose agent is alive."""
    own = (await api.get("agent/self")).json["Config"]["NodeID"]
    reply = await api.put("catalog/register", {"Node": node, "Address": "b", "ID": str(uuid.uuid4())})
    assert reply.status == 500
    assert f"Node name {node} is reserved by node {own} with name {node} (127.0.0.1)" in reply.text


async def test_a_node_is_renamed_by_its_id(api: Api, machine: str) -> None:
    """The same id under another name is the same node, which loses its services."""
    own_id = str(uuid.uuid4())
    await register(api, Node=f"{machine}-old", ID=own_id, Service={"Service": machine})
    await register(api, Node=machine, ID=own_id)
    assert (await api.get(f"catalog/node/{machine}-old")).json is None
    found = (await api.get(f"catalog/node/{own_id}")).json
    assert (found["Node"]["Node"], found["Services"]) == (machine, {})
