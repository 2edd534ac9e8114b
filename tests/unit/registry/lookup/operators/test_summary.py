"""What the summary of a service says, and why."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from registry.discovery.directory import Directory
from registry.discovery.snapshot import Snapshot
from registry.instances.instance import Health, Instance, failed_meta
from registry.lookup.fast_path import FastPath
from registry.lookup.operators.summary import ServiceFacts, shares_percent
from registry.lookup.operators.summary_text import SummaryTexts, whole
from registry.lookup.routes import build_app
from registry.rollout.record import Rollout
from registry.rollout.shares import Shares, shares
from tests.support.fakes import FakeCatalog
from tests.support.waiting import until

A = Instance("classify", "a", "10.0.0.1", 9001, version="3", weight=3)
B = Instance("classify", "b", "10.0.0.2", 9001, version="4")


def snapshot(*instances: Instance, unreachable: frozenset[str] = frozenset()) -> Snapshot:
    proven = frozenset(instance.id for instance in instances)
    return Snapshot("classify", instances, known=True, proven=proven, unreachable=unreachable)


def service_summary(snapshot: Snapshot, **facts: Any) -> dict[str, Any]:
    """What /summary says of one service."""
    (service,) = json.loads(whole({"classify": SummaryTexts().text(snapshot, ServiceFacts(**facts))}))["services"]
    return dict(service)


def test_shares_follow_the_weights_of_those_handed_out() -> None:
    """In per cent; who is not handed out has none."""
    drained = replace(B, id="c", health=Health.MAINTENANCE)
    assert shares_percent(snapshot(A, B, drained)) == {"a": 75.0, "b": 25.0}
    assert shares_percent(snapshot()) == {}
    said = service_summary(snapshot(A, B, drained))
    assert said["versions"] == [
        {"version": "3", "workers": 1, "share_percent": 75.0, "shadow_percent": 0.0, "figures": None},
        {"version": "4", "workers": 2, "share_percent": 25.0, "shadow_percent": 0.0, "figures": None},
    ]
    assert (said["total"], said["healthy"], said["handed_out"]) == (3, 2, 2)
    assert [(each["handed_out"], each["share_percent"]) for each in said["workers"]] == [
        (True, 75.0),
        (True, 25.0),
        (False, 0.0),
    ]


def test_shares_follow_the_split_among_versions() -> None:
    """Within a version by weight; a version without a share in the split is handed out to nobody."""
    workers = snapshot(A, replace(A, id="a2", weight=1), B, replace(B, id="c", version="5"))
    rollout = Rollout({"3": 60, "4": 40}, shadows={"5": 10})
    by_version = shares(rollout, {"3": 4, "4": 1, "5": 1})
    assert shares_percent(workers, by_version) == {"a": 45.0, "a2": 15.0, "b": 40.0}
    said = service_summary(workers, rollout=rollout, split=by_version)
    assert [(each["version"], each["share_percent"], each["shadow_percent"]) for each in said["versions"]] == [
        ("3", 60.0, 0.0),
        ("4", 40.0, 0.0),
        ("5", 0.0, 10),
    ]
    assert said["rollout"] == {"split": {"3": 60, "4": 40}, "shadows": {"5": 10}}


@pytest.mark.parametrize(
    ("worker", "notes"),
    [
        (A, []),
        (
            replace(A, health=Health.CRITICAL, output="HTTP GET: 503\n\nOutput: loading\n"),
            ["critical: HTTP GET: 503", "critical: Output: loading"],
        ),
        (replace(A, health=Health.MAINTENANCE, output="<b>new memory</b>"), ["maintenance: <b>new memory</b>"]),
        (replace(A, meta={"loading": "4"}), ["version 4 is being loaded"]),
        (replace(A, meta=failed_meta("4", "It is broken.")), ["version 4 failed: It is broken."]),
    ],
)
def test_each_worker_says_what_is_unusual(worker: Instance, notes: list[str]) -> None:
    """Consul's check output and an operator's reason stand there word for word."""
    said = service_summary(snapshot(worker, B))
    assert said["workers"][0]["notes"] == notes
    assert said["notes"] == []


def test_a_service_says_that_few_are_healthy_and_that_consul_is_away() -> None:
    """Panic mode counts those that are handed out; a worker that refuses connections says why it is not."""
    critical = replace(B, health=Health.CRITICAL, output="timeout")
    few = snapshot(A, *(replace(critical, id=id_) for id_ in "bcd"))
    said = service_summary(few, stale_s=12.3, trouble="Consul does not answer.", hint="")
    assert said["notes"] == [
        "1 of 4 healthy: all 4 are handed out",
        "Consul has not confirmed this for 12 s: Consul does not answer.",
    ]
    assert (said["panic"], said["stale_s"]) == ({"healthy": 1, "total": 4}, 12.3)
    refusing = snapshot(A, critical, unreachable=frozenset("b"))
    said = service_summary(refusing)
    assert said["workers"][1]["notes"] == [
        "critical: timeout",
        "it refuses connections, so it is not handed out while another worker is healthy",
    ]
    none = service_summary(snapshot(), hint="the token needs node:read")
    assert none["notes"] == ["no worker can be handed out: the token needs node:read"]


async def test_the_lookup_service_tells_the_summary_of_all_services() -> None:
    """`GET /summary`: services by name, with all fields of their workers."""
    catalog = FakeCatalog(classify=(A,), dogs=())
    async with (
        Directory(catalog, default="classify") as directory,  # type: ignore[arg-type]  # a fake
        TestClient(TestServer(build_app(directory, FastPath(directory)))) as client,
    ):
        await until(
            lambda: len(list(directory.services())) == 2 and all(s.snapshot.known for s in directory.services())
        )
        async with client.get("/summary") as answer:
            services = (await answer.json())["services"]
    assert [service["name"] for service in services] == ["classify", "dogs"]
    assert services[0]["workers"][0]["address"] == "10.0.0.1:9001"


def test_shares_follow_the_split() -> None:
    """A version's share is spread over its workers by their weights; a version without a share is not handed out."""
    other, unnamed = replace(A, id="c", weight=1), replace(B, id="d", version="5")
    split = Shares({"3": 80, "4": 20}, absent=("9",))
    assert shares_percent(snapshot(A, B, other, unnamed), split) == {"a": 60.0, "c": 20.0, "b": 20.0}
    said = service_summary(snapshot(A, B, other, unnamed), split=split)
    assert said["handed_out"] == 3
    assert said["notes"] == [
        "Version 9 of classify has a weight and no healthy worker: version 3, version 4 get the calls."
    ]
