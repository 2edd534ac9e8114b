"""Several lookup services, a name with several addresses, and Consul in their place."""

from __future__ import annotations

import asyncio
import json
import socket
import time
import urllib.request

import pytest
from aiohttp import web

from p2pclient import AsyncClient, AuthenticationError, LookupUnavailable, NoWorker, UnknownService, timeouts
from tests.support.lookups.fleet import Fleet
from tests.support.waiting import until


@pytest.mark.parametrize("routing", ["watch", "lookup"])
async def test_another_lookup_service_takes_over(fleet, routing):
    """With two of them, calls go on when either is gone, whichever was asked first."""
    fleet.add(2)
    other = await asyncio.to_thread(fleet.another_lookup)
    other.workers = fleet.lookup.workers
    both = f"127.0.0.1:{fleet.lookup.port}, 127.0.0.1:{other.port}"
    for gone in (fleet.lookup, other):
        async with AsyncClient(both, service="classify", routing=routing, timeout_s=5) as client:
            await client.classify(fleet.jpeg)
            await asyncio.to_thread(gone.stop)
            for _ in range(5):
                await client.classify(fleet.jpeg)
            await client.lookup()
            await asyncio.to_thread(gone.start)


async def test_a_hung_lookup_service_costs_a_second_once(fleet, monkeypatch):
    """One that accepts and says nothing is passed over after a second, and asked last from then on."""
    monkeypatch.setattr("random.sample", lambda urls, _count: list(urls))  # asked in the order in which they are given
    fleet.add(2)
    hung = await asyncio.to_thread(fleet.another_lookup)
    hung.replace = fleet.hang
    async with AsyncClient(f"{hung.url},{fleet.url}", routing="lookup") as client:
        for _ in range(6):
            await client.classify(fleet.jpeg)
    assert len(hung.asked) == 1


async def test_the_one_that_knows_workers_is_believed(fleet):
    """503 of one lookup service is no reason not to ask the other one."""
    fleet.add()
    empty = await asyncio.to_thread(fleet.another_lookup)
    async with AsyncClient(f"{fleet.url},http://127.0.0.1:{empty.port}", routing="lookup", timeout_s=2) as client:
        for _ in range(4):
            assert (await client.classify(fleet.jpeg)).attempts == 1


async def test_all_lookup_services_are_gone(closed_port):
    """The error names one of those that were tried."""
    async with AsyncClient(f"127.0.0.1:{closed_port},127.0.0.1:{closed_port}", timeout_s=0.3) as client:
        with pytest.raises(LookupUnavailable, match=f"127.0.0.1:{closed_port}: connection refused"):
            await client.lookup()


async def test_a_name_with_several_addresses(fleet, monkeypatch):
    """Of the addresses that a name has, the one that answers is used."""
    fleet.add()
    real = socket.getaddrinfo

    def resolve(host, port, *arguments, **options):
        if host != "lookup.test":
            return real(host, port, *arguments, **options)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in ("127.0.0.2", "127.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    async with AsyncClient(f"lookup.test:{fleet.lookup.port}", routing="lookup") as client:
        for _ in range(3):
            await client.classify(fleet.jpeg)


def put(url, body=None):
    """A PUT to Consul's API."""
    data = None if body is None else json.dumps(body).encode()
    urllib.request.urlopen(urllib.request.Request(url, data, method="PUT"), timeout=10).close()


class Registered:
    """Workers registered in a real Consul, each with a check that the test decides."""

    def __init__(self, consul, service):
        self.url = consul.url
        self.agent = f"{consul.url}/v1/agent"
        self.service = service

    def add(self, worker, *, weight=1):
        body = {
            "Name": self.service,
            "ID": worker.id,
            "Address": "127.0.0.1",
            "Port": worker.port,
            "Tags": ["p2p"],
            "Meta": {"boot": worker.boot, "version": "3"},
            "Weights": {"Passing": weight, "Warning": 1},
            "Check": {"CheckID": f"{worker.id}:ttl", "TTL": "600s", "Status": "passing"},
        }
        put(f"{self.agent}/service/register", body)
        Fleet.until(lambda: worker.id in self.told())  # an agent tells its servers a little later

    def told(self):
        with urllib.request.urlopen(f"{self.url}/v1/catalog/service/{self.service}", timeout=5) as catalogue:
            return {instance["ServiceID"] for instance in json.load(catalogue)}

    def remove(self, worker):
        put(f"{self.agent}/service/deregister/{worker.id}")

    def health(self, worker, word):
        put(f"{self.agent}/check/{word}/{worker.id}:ttl")

    def maintenance(self, worker):
        put(f"{self.agent}/service/maintenance/{worker.id}?enable=true")


def known(client, service):
    return {worker.id for worker in client._core._channels[service].workers}


async def test_straight_from_consul(fleet, shared_consul, even_shares):
    """Workers are found, followed and left through Consul's own API; no lookup service is asked."""
    first, second = fleet.add(2)
    consul = Registered(shared_consul, "straight")
    await asyncio.to_thread(consul.add, first, weight=3)
    await asyncio.to_thread(consul.add, second)
    address = shared_consul.url.replace("http://", "consul://")
    async with AsyncClient(address, service="straight", timeout_s=20) as client:
        for _ in range(8):
            await client.classify(fleet.jpeg)
        assert len(first.seen) == 6
        snapshot = await client.workers()
        assert [(w.id, w.version, w.weight) for w in snapshot] == [("w0", "3", 3), ("w1", "3", 1)]
        (service,) = [s for s in await client.services() if s.name == "straight"]
        assert (service.instances, service.serving, service.versions) == (2, 2, ("3",))
        assert (await client.lookup()).boot.startswith("boot-")

        await asyncio.to_thread(consul.health, second, "fail")
        await until(lambda: known(client, "straight") == {"w0"})
        await asyncio.to_thread(consul.health, second, "pass")
        await until(lambda: known(client, "straight") == {"w0", "w1"})
        await asyncio.to_thread(consul.maintenance, first)
        await until(lambda: known(client, "straight") == {"w1"})
        await asyncio.to_thread(consul.remove, first)
        await asyncio.to_thread(consul.maintenance, second)
        await until(lambda: known(client, "straight") == set())
        await asyncio.to_thread(consul.remove, second)  # in order: it is believed at once that there is nobody
        await until(lambda: client._core._channels["straight"].subscription.listing.workers == ())
        with pytest.raises(NoWorker, match="is a worker registered"):
            await client.classify(fleet.jpeg, timeout_s=0.5)
    assert fleet.lookup.asked == fleet.lookup.watched == []


async def test_consul_away_and_back(fleet, consul):
    """While Consul is away, calls go on from the last list; `lookup` through Consul waits for it."""
    (worker,) = fleet.add()
    registered = Registered(consul, "away")
    await asyncio.to_thread(registered.add, worker)
    async with AsyncClient(consul.url.replace("http", "consul", 1), service="away", timeout_s=30) as client:
        await client.classify(fleet.jpeg)
        await asyncio.to_thread(consul.kill)
        for _ in range(10):
            await client.classify(fleet.jpeg)
        asked = asyncio.create_task(client.lookup())
        await asyncio.to_thread(consul.start)
        assert (await asked).id == worker.id


@pytest.mark.parametrize(("meta", "sent"), [({"auth": "token"}, "Bearer bearer"), ({}, None), (None, None)])
async def test_consul_s_token_goes_to_consul_alone(fleet, monkeypatch, meta, sent):
    """The ACL token, from the environment or an argument, is for Consul; the bearer token for workers that ask for one.

    A worker that is registered without that, perhaps by a stranger, sees neither.
    """
    (worker,) = fleet.add()
    seen = []

    async def consul(request, _body):
        seen.append((request.headers.get("X-Consul-Token"), request.headers.get("Authorization")))
        entry = {"ID": worker.id, "Service": "classify", "Address": "127.0.0.1", "Port": worker.port, "Meta": meta}
        headers = {"X-Consul-Index": "7"}
        return web.json_response([{"Node": {}, "Service": entry, "Checks": []}], headers=headers)

    fleet.lookup.replace = consul
    monkeypatch.setenv("CONSUL_HTTP_TOKEN", "from-environment")
    address = fleet.url.replace("http", "consul", 1)
    for options, token in (({}, "from-environment"), ({"consul_token": "given"}, "given")):
        async with AsyncClient(address, routing="lookup", token="bearer", **options) as client:
            await client.classify(fleet.jpeg)
        assert seen.pop() == (token, None)
    assert {(s.headers.get("X-Consul-Token"), s.headers.get("Authorization")) for s in worker.seen} == {(None, sent)}


@pytest.mark.parametrize("status", [403, 500, 429, 200])
async def test_a_consul_that_cannot_answer(fleet, status):
    """A token without the right ends the call at once; a Consul in trouble is waited for; a stranger is named."""
    fleet.lookup.replace = fleet.says("rpc error: no leader", status=status)
    async with AsyncClient(fleet.url.replace("http", "consul", 1), timeout_s=0.5) as client:
        with pytest.raises(Exception, match="service:read" if status == 403 else "Consul"):
            await client.lookup()


async def test_the_services_of_a_large_catalog_are_asked_for_a_few_at_a_time(fleet):
    """A catalog of a hundred services opens sixteen connections to Consul, not a hundred."""
    at_a_time, most = 0, 0

    async def consul(request, _body):
        nonlocal at_a_time, most
        if request.path == "/v1/catalog/services":
            return web.json_response({f"service-{number}": ["p2p"] for number in range(100)})
        at_a_time += 1
        most = max(most, at_a_time)
        await asyncio.sleep(0.005)
        at_a_time -= 1
        return web.json_response([], headers={"X-Consul-Index": "7"})

    fleet.lookup.replace = consul
    async with AsyncClient(fleet.url.replace("http", "consul", 1)) as client:
        assert len(await client.services()) == 100
    assert 1 < most <= 16


@pytest.mark.parametrize("scheme", ["http", "consul"])
@pytest.mark.parametrize("status", [401, 403])
async def test_a_token_that_is_refused_is_told_at_once(fleet, scheme, status):
    """A lookup service, or Consul, that does not accept the token is not asked again: another answer is not to come."""
    fleet.lookup.replace = fleet.says("who are you?", status=status)
    async with AsyncClient(fleet.url.replace("http", scheme, 1), routing="lookup", timeout_s=5) as client:
        with pytest.raises(AuthenticationError, match="give a token") as caught:
            await client.classify(fleet.jpeg)
    assert caught.value.status == status
    assert len(fleet.lookup.asked) + len(fleet.lookup.watched) == 1


@pytest.mark.parametrize("routing", ["watch", "lookup"])
async def test_a_service_that_consul_has_never_named_is_told_before_the_deadline(fleet, routing, monkeypatch):
    """A mistyped name is UnknownService after five seconds, here fewer, and nothing goes on asking for it."""
    monkeypatch.setattr(timeouts, "PATIENCE_S", 0.5)
    asked = []

    async def consul(request, _body):
        asked.append(request.path)
        return web.json_response([], headers={"X-Consul-Index": "7"})

    fleet.lookup.replace = consul
    async with AsyncClient(fleet.url.replace("http", "consul", 1), service="clasify", routing=routing) as client:
        began_s = time.monotonic()
        with pytest.raises(UnknownService, match="clasify: is a worker registered"):
            await client.classify(fleet.jpeg)
        assert time.monotonic() - began_s < 20  # of 30
        assert (subscription := client._core.channel("clasify").subscription) is None or not subscription.running
    assert set(asked) == {"/v1/health/service/clasify"}


async def test_a_service_that_consul_names_a_moment_later_is_waited_for(fleet):
    """A client may start before the first worker has registered."""
    (worker,) = fleet.add()
    entry = {"ID": worker.id, "Service": "classify", "Address": "127.0.0.1", "Port": worker.port, "Meta": None}
    asked = []

    async def consul(_request, _body):
        asked.append(1)
        named = [] if len(asked) < 3 else [{"Node": {}, "Service": entry, "Checks": []}]
        return web.json_response(named, headers={"X-Consul-Index": "7"})

    fleet.lookup.replace = consul
    async with AsyncClient(fleet.url.replace("http", "consul", 1)) as client:
        assert (await client.classify(fleet.jpeg)).worker == worker.address
