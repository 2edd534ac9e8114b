"""Registering, changing and removing services, and maintenance: the same words, the same catalogue afterwards."""

from __future__ import annotations

import pytest

from tests.contract.conftest import Api


async def test_a_registered_service_is_in_every_view(api: Api, name: str, node: str) -> None:
    """What was registered must come back from agent, catalogue and health endpoint, each in its shape."""
    body = {
        "ID": f"{name}-1", "Name": name, "Address": "10.1.2.3", "Port": 81, "Tags": ["a", "b"],
        "Meta": {"boot": "q"}, "Weights": {"Passing": 3, "Warning": 2},
        "Checks": [
            {"CheckID": f"{name}-beat", "Name": "beat", "TTL": "15s", "Notes": "nn"},
            {"TTL": "10s", "Status": "passing"},
        ],
    }  # fmt: skip
    await api.do("agent/service/register", body)
    (entry,) = (await api.until(f"health/service/{name}", len)).json
    held = (await api.get("agent/services")).json[f"{name}-1"]
    (row,) = (await api.get(f"catalog/service/{name}")).json

    assert held == {
        "ID": f"{name}-1", "Service": name, "Tags": ["a", "b"], "Meta": {"boot": "q"}, "Port": 81,
        "Address": "10.1.2.3",
        "TaggedAddresses": {
            "lan_ipv4": {"Address": "10.1.2.3", "Port": 81}, "wan_ipv4": {"Address": "10.1.2.3", "Port": 81}
        },
        "Weights": {"Passing": 3, "Warning": 2}, "EnableTagOverride": False,
    }  # fmt: skip
    assert set(entry) == {"Node", "Service", "Checks"}
    assert (entry["Node"]["Node"], entry["Node"]["Address"]) == (node, "127.0.0.1")
    assert entry["Service"]["CreateIndex"] == entry["Service"]["ModifyIndex"] > 0
    checks = {check["CheckID"]: check for check in entry["Checks"]}
    assert checks["serfHealth"]["Status"] == "passing"
    assert checks[f"{name}-beat"] | {"CreateIndex": 0, "ModifyIndex": 0} == {
        "Node": node, "CheckID": f"{name}-beat", "Name": "beat", "Status": "critical", "Notes": "nn", "Output": "",
        "ServiceID": f"{name}-1", "ServiceName": name, "ServiceTags": ["a", "b"], "Type": "ttl", "Definition": {},
        "CreateIndex": 0, "ModifyIndex": 0,
    }  # fmt: skip
    unnamed = checks[f"service:{name}-1:2"]
    assert (unnamed["Name"], unnamed["Status"]) == (f"Service '{name}' check", "passing")
    assert (row["ServiceID"], row["ServicePort"], row["ServiceAddress"]) == (f"{name}-1", 81, "10.1.2.3")
    assert row["ServiceWeights"] == {"Passing": 3, "Warning": 2}
    assert sorted((await api.get("catalog/services")).json[name]) == ["a", "b"]


async def test_fields_in_lower_case_and_durations_in_nanoseconds(api: Api, name: str) -> None:
    """Any casing of a field and a duration as a number must be understood."""
    await api.do(
        "agent/service/register",
        {"name": name, "id": f"{name}-x", "port": 4, "tags": None, "checks": None, "enable_tag_override": True,
         "check": {"checkid": f"{name}-c", "ttl": 30_000_000_000, "deregister_critical_service_after": "2m"}},
    )  # fmt: skip
    held = (await api.get(f"agent/service/{name}-x")).json
    assert (held["Service"], held["Port"], held["Tags"], held["EnableTagOverride"]) == (name, 4, [], True)
    assert (await api.get("agent/checks")).json[f"{name}-c"]["Type"] == "ttl"


async def test_weights_default_to_one(api: Api, name: str) -> None:
    """A service without weights has one for each; one that names only Passing has none in warning."""
    (entry,) = (await api.register(name)).json
    assert entry["Service"]["Weights"] == {"Passing": 1, "Warning": 1}
    await api.do("agent/service/register", {"Name": name, "Weights": {"Passing": 5}})
    changed = await api.until(f"health/service/{name}", lambda found: found[0]["Service"]["Weights"]["Passing"] == 5)
    assert changed.json[0]["Service"]["Weights"] == {"Passing": 5, "Warning": 0}


async def test_registering_again_changes_nothing(api: Api, name: str) -> None:
    """The same PUT a second time must leave the index, the check's status and the service as they were."""
    body = {"Port": 1, "Check": {"CheckID": f"{name}-c", "TTL": "1h"}}
    await api.register(name, **body)
    await api.do(f"agent/check/pass/{f'{name}-c'}")
    before = await api.until(f"health/service/{name}", lambda found: found[0]["Checks"][-1]["Status"] == "passing")
    await api.do("agent/service/register", {"Name": name, **body})
    await api.settle()
    after = await api.get(f"health/service/{name}")
    assert (after.index, after.json[0]["Service"]) == (before.index, before.json[0]["Service"])
    assert after.json[0]["Checks"][-1]["Status"] == "passing"


async def test_a_status_outlives_a_registration_that_names_another(api: Api, name: str) -> None:
    """A check that is already there keeps its status, even if it is registered again as passing."""
    body = {"Port": 1, "Check": {"CheckID": f"{name}-c", "TTL": "1h", "Status": "passing"}}
    await api.register(name, **body)
    await api.do(f"agent/check/warn/{name}-c")
    await api.do("agent/service/register", {"Name": name, **body})
    await api.settle()
    (check,) = (await api.get(f"health/checks/{name}")).json
    assert check["Status"] == "warning"


async def test_a_change_of_port_is_a_change(api: Api, name: str) -> None:
    """The same id with another port must replace the old one and raise the index; CreateIndex stays."""
    before = await api.register(name, Port=1)
    await api.do("agent/service/register", {"Name": name, "Port": 2})
    after = await api.until(f"health/service/{name}", lambda found: found[0]["Service"]["Port"] == 2)
    assert after.index > before.index
    old, new = before.json[0]["Service"], after.json[0]["Service"]
    assert new["CreateIndex"] == old["CreateIndex"] < new["ModifyIndex"]


async def test_one_id_under_another_name(api: Api, name: str) -> None:
    """An id registered under another name must leave the old name, its checks with it."""
    body = {"ID": name, "Check": {"CheckID": f"{name}-c", "TTL": "1h"}}
    await api.register(name, **body)
    await api.do("agent/service/register", {**body, "Name": f"{name}-new"})
    found = await api.until(f"health/service/{name}-new", len)
    assert [check["ServiceName"] for check in found.json[0]["Checks"]][-1] == f"{name}-new"
    assert (await api.get(f"health/service/{name}")).json == []


async def test_deregistering(api: Api, name: str) -> None:
    """A removed service and its checks are gone everywhere; removing it again is no error."""
    before = await api.register(name, Check={"CheckID": f"{name}-c", "TTL": "1h"})
    await api.do(f"agent/service/deregister/{name}")
    after = await api.until(f"health/service/{name}", lambda found: not found)
    assert after.index > before.index
    assert name not in (await api.get("catalog/services")).json
    assert f"{name}-c" not in (await api.get("agent/checks")).json
    assert (await api.put(f"agent/service/deregister/{name}")).status == 200


async def test_tags_narrow(api: Api, name: str) -> None:
    """?tag= may be repeated, and only what has them all, in any casing, is shown."""
    await api.do("agent/service/register", {"Name": name, "ID": f"{name}-1", "Tags": ["a", "b"]})
    await api.do("agent/service/register", {"Name": name, "ID": f"{name}-2", "Tags": ["A"]})
    await api.until(f"health/service/{name}", lambda found: len(found) == 2)

    async def ids(path: str) -> list[str]:
        return [e["Service"]["ID"] for e in (await api.get(f"health/service/{name}?{path}")).json]

    assert await ids("tag=a") == [f"{name}-1", f"{name}-2"]
    assert await ids("tag=a&tag=B") == [f"{name}-1"]
    assert await ids("tag=a&tag=z") == []


async def test_passing_hides_the_rest(api: Api, name: str) -> None:
    """?passing shows only instances all of whose checks pass; without it all are shown."""
    for n, status in (("1", "passing"), ("2", "warning"), ("3", "critical")):
        check = {"CheckID": f"{name}-c{n}", "TTL": "1h", "Status": status}
        await api.do("agent/service/register", {"Name": name, "ID": f"{name}-{n}", "Check": check})
    await api.until(f"health/service/{name}", lambda found: len(found) == 3)
    shown = (await api.get(f"health/service/{name}?passing")).json
    assert [entry["Service"]["ID"] for entry in shown] == [f"{name}-1"]
    assert len((await api.get(f"health/service/{name}?passing=false")).json) == 3
    assert (await api.get(f"health/service/{name}?passing=perhaps")).status == 400


async def test_checks_stay_until_replaced(api: Api, name: str) -> None:
    """A registration leaves the checks it does not name alone, unless it says replace-existing-checks."""

    async def check_ids() -> list[str]:
        await api.settle()
        return [check["CheckID"] for check in (await api.get(f"health/checks/{name}")).json]

    await api.register(name, Check={"CheckID": f"{name}-a", "TTL": "1h"})
    second = {"Name": name, "Check": {"CheckID": f"{name}-b", "TTL": "1h"}}
    await api.do("agent/service/register", second)
    assert await check_ids() == [f"{name}-a", f"{name}-b"]
    await api.do("agent/service/register?replace-existing-checks=true", second)
    assert await check_ids() == [f"{name}-b"]


async def test_maintenance_of_a_service(api: Api, name: str) -> None:
    """Maintenance is one critical check with the first reason given; a registration does not end it."""
    await api.register(name, Port=1, Check={"CheckID": f"{name}-c", "TTL": "1h", "Status": "passing"})
    await api.do(f"agent/service/maintenance/{name}?enable=true&reason=new%20disk")
    await api.do(f"agent/service/maintenance/{name}?enable=true&reason=other")
    await api.do("agent/service/register", {"Name": name, "Port": 2})
    await api.settle()
    found = {check["CheckID"]: check for check in (await api.get(f"health/checks/{name}")).json}
    check = found[f"_service_maintenance:{name}"]
    assert (check["Name"], check["Status"], check["Notes"]) == ("Service Maintenance Mode", "critical", "new disk")
    assert (check["Type"], check["ServiceID"]) == ("maintenance", name)
    health = await api.get(f"agent/health/service/id/{name}")
    assert (health.status, health.json["AggregatedStatus"]) == (503, "maintenance")
    await api.do(f"agent/service/maintenance/{name}?enable=false")
    ended = await api.until(f"health/checks/{name}", lambda checks: len(checks) == 1)
    assert ended.json[0]["Status"] == "passing"


async def test_replacing_checks_ends_maintenance(api: Api, name: str) -> None:
    """replace-existing-checks clears an operator's maintenance mode: the reason why we do not use it."""
    body = {"Check": {"CheckID": f"{name}-c", "TTL": "1h"}}
    await api.register(name, **body)
    await api.do(f"agent/service/maintenance/{name}?enable=true")
    await api.until(f"health/checks/{name}", lambda checks: len(checks) == 2)
    await api.do("agent/service/register?replace-existing-checks=true", {"Name": name, **body})
    await api.until(f"health/checks/{name}", lambda checks: len(checks) == 1)


async def test_maintenance_of_the_node(api: Api, name: str) -> None:
    """The node's maintenance shows as a critical check of every service on it, and wakes their watchers."""
    before = await api.register(name)
    try:
        await api.do("agent/maintenance?enable=true&reason=move")
        woken = await api.get(f"health/service/{name}?index={before.index}&wait=10s")
        checks = {check["CheckID"]: check for check in woken.json[0]["Checks"]}
        check = checks["_node_maintenance"]
        assert (check["Name"], check["Status"], check["Notes"]) == ("Node Maintenance Mode", "critical", "move")
        assert (await api.get(f"health/service/{name}?passing")).json == []
    finally:
        await api.do("agent/maintenance?enable=false")
    ended = await api.get(f"health/service/{name}?index={woken.index}&wait=10s")
    assert [check["CheckID"] for check in ended.json[0]["Checks"]] == ["serfHealth"]


@pytest.mark.parametrize(
    ("status", "code", "word"),
    [("passing", 200, "passing"), ("warning", 429, "warning"), ("critical", 503, "critical")],
)
async def test_the_agents_own_health(api: Api, name: str, status: str, code: int, word: str) -> None:
    """The agent's health endpoints answer with the status that a load balancer wants, as JSON and as text."""
    await api.register(name, Check={"CheckID": f"{name}-c", "TTL": "1h", "Status": status})
    by_id, by_name = (
        await api.get(f"agent/health/service/id/{name}"),
        await api.get(f"agent/health/service/name/{name}"),
    )
    assert (by_id.status, by_id.json["AggregatedStatus"], by_id.json["Service"]["ID"]) == (code, word, name)
    assert (by_name.status, by_name.json) == (code, [by_id.json])
    text = await api.get(f"agent/health/service/id/{name}?format=text")
    assert (text.status, text.text, text.headers["X-Consul-Reason"]) == (code, word, word)


async def test_a_watch_by_content_hash(api: Api, name: str) -> None:
    """agent/service/ID?hash= waits until the service's definition is another, and its checks do not count."""
    await api.register(name, Port=1, Check={"CheckID": f"{name}-c", "TTL": "1h"})
    before = await api.get(f"agent/service/{name}")
    known = before.json["ContentHash"]
    assert before.headers["X-Consul-ContentHash"] == known
    same = await api.get(f"agent/service/{name}?hash={known}&wait=100ms")
    assert same.json == before.json
    await api.do("agent/service/register", {"Name": name, "Port": 2})
    after = await api.get(f"agent/service/{name}?hash={known}&wait=10s")
    assert after.json["Port"] == 2
    assert after.json["ContentHash"] != known
