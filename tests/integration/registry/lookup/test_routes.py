"""The lookup service over a real Consul, asked as clients ask it."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from registry.consul.catalog import Catalog, Checks
from registry.consul.settings import ConsulSettings
from registry.instances.instance import Instance
from registry.server import RunningRegistry, running
from registry.settings import RegistrySettings
from tests.support.command_process import free_port
from tests.support.consul_process import ConsulProcess
from tests.support.waiting import until

# Consul checks itself: a health path that is always there.
CHECKS = "/v1/status/leader"


class Lookups:
    """A lookup service and a catalog on one Consul, with services of names of their own."""

    def __init__(self, registry: RunningRegistry, catalog: Catalog, http: aiohttp.ClientSession, name: str) -> None:
        self.registry = registry
        self.catalog = catalog
        self.name = name
        self._http = http

    async def add(self, port: int, *, service: str | None = None, **fields: Any) -> Instance:
        name = service or self.name
        fields = {"host": "127.0.0.1"} | fields
        instance = Instance(name, f"{name}-{fields['host']}-{port}", port=port, **fields)
        await self.catalog.register(instance, Checks(self.catalog.url + CHECKS))
        return instance

    async def get(self, path: str, **headers: str) -> tuple[int, str]:
        async with self._http.get(self.registry.url + path, headers=headers) as answer:
            return answer.status, await answer.text()

    async def json(self, path: str) -> Any:
        async with self._http.get(self.registry.url + path, headers={"Accept": "application/json"}) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def serves(self, count: int) -> None:
        """Wait until so many workers of the service are handed out."""

        async def enough() -> bool:
            return len(self.registry.directory.followed(self.name).rotation()) == count  # type: ignore[union-attr]

        await until(enough)


@pytest.fixture
async def lookups(shared_consul: ConsulProcess, request: pytest.FixtureRequest) -> AsyncIterator[Lookups]:
    name = request.node.name.replace("_", "-").partition("[")[0]
    consul = ConsulSettings(url=shared_consul.url)
    settings = RegistrySettings(backend=consul, port=0, service=name)
    catalog = Catalog(consul)
    async with running(settings) as registry, aiohttp.ClientSession() as http:
        yield Lookups(registry, catalog, http, name)
    await catalog.close()


async def test_consecutive_lookups_alternate(lookups: Lookups) -> None:
    """Two workers take turns, by port and by address."""
    await lookups.add(9001)
    await lookups.add(9002)
    await lookups.serves(2)
    ports = [(await lookups.get("/"))[1] for _ in range(6)]
    assert Counter(ports) == {"9001\n": 3, "9002\n": 3}
    assert all(a != b for a, b in itertools.pairwise(ports))
    addresses = {(await lookups.get("/next"))[1] for _ in range(2)}
    assert addresses == {"127.0.0.1:9001\n", "127.0.0.1:9002\n"}


async def test_count_names_different_workers(lookups: Lookups) -> None:
    """`count=N` gives N different workers, one a line, and all of them if there are fewer."""
    for port in (9001, 9002, 9003):
        await lookups.add(port)
    await lookups.serves(3)
    _, two = await lookups.get("/next?count=2")
    _, many = await lookups.get("/next?count=9")
    assert len(set(two.split())) == 2
    assert set(many.split()) == {"127.0.0.1:9001", "127.0.0.1:9002", "127.0.0.1:9003"}


async def test_json_tells_all_of_a_worker(lookups: Lookups) -> None:
    """`Accept: application/json` gives an object, and with `count` a list."""
    await lookups.add(9001, version="3", boot="b1", tags=("gpu",))
    await lookups.serves(1)
    one = await lookups.json("/next")
    assert one == {
        "service": lookups.name,
        "id": f"{lookups.name}-127.0.0.1-9001",
        "host": "127.0.0.1",
        "port": 9001,
        "address": "127.0.0.1:9001",
        "scheme": "http",
        "auth": "none",
        "version": "3",
        "boot": "b1",
        "weight": 1,
        "tags": ["p2p", "gpu"],
    }
    assert await lookups.json("/next?count=1") == [one]


async def test_version_and_tags_choose(lookups: Lookups) -> None:
    """`version` and `tag` name only workers that have them all; none is a 503 that says so."""
    await lookups.add(9001, version="1", tags=("gpu",))
    await lookups.add(9002, version="2", tags=("gpu", "large"))
    await lookups.serves(2)
    assert {(await lookups.get("/?version=2"))[1] for _ in range(4)} == {"9002\n"}
    assert {(await lookups.get("/?tag=gpu"))[1] for _ in range(4)} == {"9001\n", "9002\n"}
    assert {(await lookups.get("/next?tag=gpu&tag=large"))[1] for _ in range(4)} == {"127.0.0.1:9002\n"}
    status, sentence = await lookups.get("/next?version=9")
    assert (status, "of that version or tag" in sentence) == (503, True)


async def test_a_worker_is_found_by_each_version_that_it_serves(lookups: Lookups) -> None:
    """Tags name the versions beside the default one; JSON says the default's, `/services` all."""
    await lookups.add(9001, version="2", tags=("version-2", "version-3"))
    await lookups.add(9002, version="2", tags=("version-2",))
    await lookups.serves(2)
    assert {(await lookups.get("/?version=3"))[1] for _ in range(4)} == {"9001\n"}
    assert {(await lookups.get("/?version=2"))[1] for _ in range(4)} == {"9001\n", "9002\n"}
    assert (await lookups.get("/next?version=4"))[0] == 503
    found = await lookups.json("/next?version=3")
    assert (found["version"], found["port"]) == ("2", 9001)
    services = {service["name"]: service for service in await lookups.json("/services")}
    assert services[lookups.name]["versions"] == ["2", "3"]


async def test_a_port_is_named_only_for_the_asked_host(lookups: Lookups) -> None:
    """`GET /` names workers at the asked host alone; where all are elsewhere it is 409 and names /next."""
    await lookups.add(9001, host="10.9.8.7")
    await lookups.serves(1)
    status, sentence = await lookups.get("/")
    assert (status, "/next" in sentence) == (409, True)
    await lookups.add(9002)
    await lookups.serves(2)
    assert {(await lookups.get("/"))[1] for _ in range(3)} == {"9002\n"}
    assert (await lookups.get("/", Host="10.9.8.7"))[0] == 200


async def test_other_services_are_followed(lookups: Lookups) -> None:
    """`/next/{service}` answers for any service of Consul's; an unknown one is 404 and names those that exist."""
    other = f"{lookups.name}-other"
    await lookups.add(9007, service=other)

    async def answered() -> bool:
        return await lookups.get(f"/next/{other}") == (200, "127.0.0.1:9007\n")

    await until(answered)
    status, sentence = await lookups.get("/next/nobody")
    assert (status, other in sentence) == (404, True)
    names = {s["name"]: s for s in await lookups.json("/services")}
    assert names[other] == {"name": other, "instances": 1, "serving": 1, "versions": []}


async def test_without_workers_it_is_503(lookups: Lookups) -> None:
    """No healthy worker: 503, Retry-After and a sentence."""
    async with aiohttp.request("GET", lookups.registry.url + "/next") as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        assert lookups.name in await answer.text()


async def test_instances_tell_what_the_worst_check_says(lookups: Lookups, shared_consul: ConsulProcess) -> None:
    """`p2p status` shows each check's output, whether it asks the lookup service or Consul; `/next` leaves it out."""
    sick, well = await lookups.add(9001), await lookups.add(9002)
    await lookups.serves(2)
    agent, hostile = f"{shared_consul.url}/v1/agent/check", 'full: "\x1b[2J"\r\n\u2028'
    disk = {"Name": "disk", "ID": f"{sick.id}-disk", "ServiceID": sick.id, "TTL": "1h", "Status": "passing"}
    async with aiohttp.ClientSession(raise_for_status=True) as http:
        await http.put(f"{agent}/register", json=disk)
        await http.put(f"{agent}/warn/{disk['ID']}", params={"note": hostile})

    async def told() -> bool:
        return [i["output"] for i in (await lookups.json(f"/instances/{lookups.name}"))["instances"]] == [hostile, ""]

    await until(told)
    wanted = [(sick.id, "warning", hostile), (well.id, "passing", None)]
    assert await status_of(lookups, lookups.registry.url) == wanted
    assert await status_of(lookups, f"consul://{shared_consul.url[7:]}") == wanted
    assert "output" not in await lookups.json(f"/next/{lookups.name}")


async def status_of(lookups: Lookups, source: str) -> list[tuple[str, str, str | None]]:
    """What `p2p status` says of the service's workers: id, health and check output."""
    command = (sys.executable, "-m", "p2pclient", "status", "--json", "--registry", source)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    services = json.loads((await process.communicate())[0])["services"]
    (workers,) = [service["workers"] for service in services if service["name"] == lookups.name]
    return [(worker["id"], worker["health"], worker["output"]) for worker in workers]


async def test_instances_waits_for_a_change(lookups: Lookups) -> None:
    """`/instances` with the last index answers when something changed, and not before."""
    await lookups.add(9001)
    await lookups.serves(1)
    path = f"/instances/{lookups.name}"
    first = await lookups.json(path)
    assert [i["health"] for i in first["instances"]] == ["passing"]
    waiting = asyncio.create_task(lookups.json(f"{path}?index={first['index']}&wait=30s"))
    quick = await lookups.json(f"{path}?index={first['index']}&wait=50ms")
    assert (quick, waiting.done()) == (first, False)
    await lookups.add(9002)
    second = await asyncio.wait_for(waiting, 10)
    assert [i["port"] for i in second["instances"]] == [9001, 9002]
    assert second["index"] != first["index"]


async def test_instances_tells_which_ones_are_reached(lookups: Lookups) -> None:
    """`?probe` connects to each registered address, once in some seconds, and says why one is not reached."""
    connections = 0

    def count(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.close()

    async with await asyncio.start_server(count, "127.0.0.1", 0) as server:
        listening, free = server.sockets[0].getsockname()[1], free_port()
        await lookups.add(listening)
        await lookups.add(free)
        await lookups.serves(2)
        for _ in range(3):
            found = await lookups.json(f"/instances/{lookups.name}?probe=1")
            faults = {i["port"]: i["unreachable"] for i in found["instances"]}
            assert faults.keys() == {listening, free}
            assert not faults[listening]
            assert "connect" in faults[free]
        await until(lambda: connections == 1)


async def test_maintenance_and_deregistration_are_seen_at_once(lookups: Lookups) -> None:
    """A worker in maintenance is not handed out, comes back after it, and is gone once it deregistered."""
    first, second = await lookups.add(9001), await lookups.add(9002)
    await lookups.serves(2)
    await lookups.catalog.maintenance(first.id, enable=True, reason="test")
    await lookups.serves(1)
    assert {(await lookups.get("/"))[1] for _ in range(3)} == {"9002\n"}
    await lookups.catalog.maintenance(first.id, enable=False)
    await lookups.serves(2)
    for instance in (first, second):
        await lookups.catalog.maintenance(instance.id, enable=True)
    await lookups.serves(0)
    assert (await lookups.get("/next"))[0] == 503
    for instance in (first, second):
        await lookups.catalog.deregister(instance.id)

    async def empty() -> bool:
        return (await lookups.json(f"/instances/{lookups.name}"))["instances"] == []

    await until(empty, within_s=2)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/next?count=0", 400),
        ("/next?count=-1", 400),
        ("/next?count=1e3", 400),
        ("/next?count=99999999999999999999999", 400),
        ("/instances/{name}?index=abc", 400),
        ("/instances/{name}?wait=soon", 400),
        ("/nowhere", 404),
        ("/next/a%00b", 404),
        ("/instances/nobody", 404),
        ("/" + "x" * 9000, 400),
    ],
)
async def test_what_cannot_be_used_is_refused(lookups: Lookups, path: str, status: int) -> None:
    """A parameter or path that cannot be used gets its status and a sentence."""
    got, sentence = await lookups.get(path.format(name=lookups.name))
    assert got == status
    assert len(sentence) > 10


async def test_other_methods_are_refused(lookups: Lookups) -> None:
    """A method that is not answered gets 405 and the ones that are."""
    async with aiohttp.request("PUT", lookups.registry.url + "/next") as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


async def test_numbers_are_there(lookups: Lookups) -> None:
    """`/metrics` counts answers and shows the set's health."""
    await lookups.add(9001)
    await lookups.serves(1)
    await lookups.get("/next/nobody")
    _, text = await lookups.get("/metrics")
    assert 'p2p_registry_requests_total{status="404"} 1.0' in text
    assert re.search(r"(?m)^p2p_registry_tasks [1-9]", text)
    assert f'p2p_registry_instances{{health="passing",service="{lookups.name}"}} 1.0' in text.replace(
        f'service="{lookups.name}",health="passing"', f'health="passing",service="{lookups.name}"'
    )


async def test_readiness_follows_consul(lookups: Lookups) -> None:
    """Ready once Consul has answered; alive always."""

    async def ready() -> bool:
        return (await lookups.get("/readyz"))[0] == 200

    await until(ready)
    assert (await lookups.get("/healthz"))[0] == 200
