"""Lookups in two real datacenters, whose Consul servers know each other over the WAN."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from p2pclient import AsyncClient
from registry.consul.catalog import Catalog, Checks
from registry.consul.settings import ConsulSettings
from registry.instances.instance import Instance
from registry.server import RunningRegistry, running
from registry.settings import RegistrySettings
from tests.support.consul_process import ConsulProcess
from tests.support.waiting import until

# Consul checks itself: a health path that is always there.
CHECKS = "/v1/status/leader"


@dataclass
class Datacenter:
    """One datacenter's only Consul server, and a catalog at it."""

    consul: ConsulProcess
    catalog: Catalog

    async def add(self, service: str, port: int, **fields: Any) -> str:
        instance = Instance(service, f"{service}-127.0.0.1-{port}", "127.0.0.1", port, **fields)
        await self.catalog.register(instance, Checks(self.catalog.url + CHECKS))
        return instance.id

    async def tell_coordinate(self) -> None:
        """Tell Consul what its agent tells it by itself in its first half minute."""
        start = {"Vec": [0] * 8, "Error": 1.5, "Adjustment": 0, "Height": 1e-5}
        node = {"Node": "node-dc1", "Segment": "", "Coord": start}
        async with aiohttp.request("PUT", f"{self.catalog.url}/v1/coordinate/update", json=node) as answer:
            assert answer.status == 200


@pytest.fixture(scope="module")
def servers(
    consul_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ConsulProcess, ConsulProcess]]:
    here, there = (
        ConsulProcess(consul_binary, tmp_path_factory.mktemp(name), node=f"node-{name}", datacenter=name, wan=True)
        for name in ("dc1", "dc2")
    )
    here.start()
    there.start()
    there.join_wan(here)
    yield here, there
    there.stop()
    here.stop()


@pytest.fixture
async def datacenters(servers: tuple[ConsulProcess, ConsulProcess]) -> AsyncIterator[tuple[Datacenter, Datacenter]]:
    here, there = (Datacenter(each, Catalog(ConsulSettings(url=each.url))) for each in servers)
    await until(lambda: knows_both(here.catalog), within_s=30)
    yield here, there
    for each in (here, there):
        await each.catalog.close()


async def knows_both(catalog: Catalog) -> bool:
    return set(await catalog.datacenters()) == {"dc1", "dc2"}


class Asked:
    """A lookup service in the first datacenter."""

    def __init__(self, registry: RunningRegistry, http: aiohttp.ClientSession) -> None:
        self.registry = registry
        self._http = http

    async def get(self, path: str) -> tuple[int, str, str]:
        """Status, text, and the datacenter that the headers name."""
        async with self._http.get(self.registry.url + path, allow_redirects=False) as answer:
            return answer.status, await answer.text(), answer.headers.get("X-Registry-Datacenter", "")


@asynccontextmanager
async def lookup(here: Datacenter, service: str, *failover: str) -> AsyncIterator[Asked]:
    settings = RegistrySettings(
        ConsulSettings(url=here.consul.url), port=0, service=service, failover_datacenters=failover
    )
    async with running(settings) as registry, aiohttp.ClientSession() as http:
        await until(lambda: registry.directory.ready)
        yield Asked(registry, http)


async def test_a_datacenter_can_be_named(datacenters: tuple[Datacenter, Datacenter]) -> None:
    """?dc= answers from there; its own name means here; an unknown one is 404 with the names that exist."""
    here, there = datacenters
    await here.add("named", 9001)
    await there.add("named", 9002, version="7")
    async with lookup(here, "named") as asked:
        await until(lambda: asked.registry.directory.followed("named").rotation())  # type: ignore[union-attr]
        assert await asked.get("/next") == (200, "127.0.0.1:9001\n", "")
        assert await asked.get("/next?dc=dc2") == (200, "127.0.0.1:9002\n", "dc2")
        assert await asked.get("/next/named?dc=dc2&version=7&count=3") == (200, "127.0.0.1:9002\n", "dc2")
        assert await asked.get("/next?dc=dc1") == (200, "127.0.0.1:9001\n", "")
        _, text, _ = await asked.get("/instances/named?dc=dc2")
        assert json.loads(text)["datacenter"] == "dc2"
        assert [instance["port"] for instance in json.loads(text)["instances"]] == [9002]
        status, text, _ = await asked.get("/services?dc=dc2")
        assert [service["name"] for service in json.loads(text)] == ["named"]
        status, text, _ = await asked.get("/next?dc=dc3")
        assert (status, text) == (404, "There is no datacenter 'dc3': there are dc1, dc2.\n")
        status, text, _ = await asked.get("/next/nobody?dc=dc2")
        assert status == 404
        assert text.startswith("There is no service nobody") or text.startswith("There is no service 'nobody'")


async def test_another_datacenter_takes_over_and_gives_back(datacenters: tuple[Datacenter, Datacenter]) -> None:
    """While no worker is healthy here, --failover-dc answers: /next, 307 and long polls; then this one again."""
    here, there = datacenters
    mine = await here.add("failing", 9001)
    await there.add("failing", 9002)
    async with lookup(here, "failing", "dc2") as asked:
        service = asked.registry.directory.followed("failing")
        assert service is not None
        await until(lambda: service.rotation())
        assert await asked.get("/next") == (200, "127.0.0.1:9001\n", "")
        _, text, _ = await asked.get("/instances/failing")
        index = json.loads(text)["index"]
        poll = asyncio.create_task(asked.get(f"/instances/failing?index={index}&wait=30s"))

        await here.catalog.maintenance(mine, enable=True, reason="a test")
        _, text, datacenter = await poll
        assert ([i["port"] for i in json.loads(text)["instances"]], datacenter) == ([9002], "dc2")
        assert await asked.get("/next") == (200, "127.0.0.1:9002\n", "dc2")
        async with AsyncClient(asked.registry.url, routing="watch") as client:
            assert [worker.port for worker in await client.workers("failing")] == [9002]
        assert await asked.get("/to/failing/x") == (307, "http://127.0.0.1:9002/x\n", "dc2")
        index = json.loads(text)["index"]
        poll = asyncio.create_task(asked.get(f"/instances/failing?index={index}&wait=30s"))

        await here.catalog.maintenance(mine, enable=False)
        _, text, datacenter = await poll
        assert ([i["port"] for i in json.loads(text)["instances"]], datacenter) == ([9001], "")
        assert await asked.get("/next") == (200, "127.0.0.1:9001\n", "")


async def test_what_a_request_selects_decides(datacenters: tuple[Datacenter, Datacenter]) -> None:
    """A version that only the other datacenter serves comes from there, and so does a service that is not here."""
    here, there = datacenters
    await here.add("chosen", 9001, version="1")
    await there.add("chosen", 9002, version="2")
    await there.add("far", 9003)
    async with lookup(here, "chosen", "dc2") as asked:
        await until(lambda: asked.registry.directory.followed("chosen").rotation())  # type: ignore[union-attr]
        assert await asked.get("/next?version=1") == (200, "127.0.0.1:9001\n", "")
        assert await asked.get("/next?version=2") == (200, "127.0.0.1:9002\n", "dc2")
        assert await asked.get("/next/far") == (200, "127.0.0.1:9003\n", "dc2")
        status, text, _ = await asked.get("/next?version=3")
        assert (status, text[:54]) == (503, "No healthy worker of chosen of that version or tag rig")
        assert (await asked.get("/next/nowhere"))[0] == 404


async def test_a_datacenter_that_is_away_delays_nothing_for_long(datacenters: tuple[Datacenter, Datacenter]) -> None:
    """A failover datacenter that does not exist is waited for once; the answer here is as it was."""
    here, there = datacenters
    await there.add("lonely", 9002)
    async with lookup(here, "lonely", "dc9", "dc2") as asked:
        assert await asked.get("/next") == (200, "127.0.0.1:9002\n", "dc2")
        loop = asyncio.get_running_loop()
        await until(lambda: asked.get("/next"))
        began_s = loop.time()
        for _ in range(5):
            assert await asked.get("/next") == (200, "127.0.0.1:9002\n", "dc2")
        assert loop.time() - began_s < 1.5


async def test_nearest_first(datacenters: tuple[Datacenter, Datacenter]) -> None:
    """?near= sorts by Consul's coordinates: workers on the node itself take turns, an unknown node is refused."""
    here, _ = datacenters
    for port in (9001, 9002):
        await here.add("near", port)
    async with lookup(here, "near") as asked:
        await until(lambda: len(asked.registry.directory.followed("near").rotation()) == 2)  # type: ignore[union-attr]

        async def has_coordinates() -> bool:
            return bool(await here.catalog.coordinates())

        await here.tell_coordinate()
        await until(has_coordinates, within_s=30)
        for near in ("node-dc1", "_agent"):
            answers = [await asked.get(f"/next?near={near}") for _ in range(30)]
            assert {text for _, text, _ in answers} == {"127.0.0.1:9001\n", "127.0.0.1:9002\n"}
        status, text, _ = await asked.get("/next?near=node-dc9")
        assert (status, text) == (
            400,
            "near=node-dc9 cannot be used: Consul has network coordinates of node-dc1.\n",
        )
