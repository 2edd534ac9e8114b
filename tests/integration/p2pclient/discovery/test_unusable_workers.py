"""A worker that is registered as no worker can be harms no other one, from a lookup service and from Consul."""

from __future__ import annotations

import asyncio
import json
import urllib.request

import pytest
from aiohttp import web

from p2pclient import AsyncClient, Panic, ProtocolError, UnusableWorker
from tests.support.waiting import until

INDEXES = ["1e400", "-1e400", "NaN", "5.5", "true", '"5"', "null", "-1", str(2**64), "9" * 400, "9" * 5000]


async def test_it_is_named_with_its_reason(fleet, caplog):
    """All other workers are there; it is logged once, with those that the lookup service itself leaves out."""
    good, odd = fleet.add(2)
    shown, listed = fleet.lookup._shown, fleet.lookup._list

    async def with_unusable(request):
        said = json.loads((await listed(request)).body)
        return web.json_response(said | {"unusable": [{"id": "w9", "reason": "it has no address"}]})

    fleet.lookup._list = with_unusable
    fleet.lookup._shown = lambda worker: shown(worker) | ({"host": "a b"} if worker is odd else {})
    async with AsyncClient(fleet.url, service="classify") as client:
        snapshot = await client.workers()
        assert {(await client.classify(fleet.jpeg)).worker for _ in range(4)} == {good.address}
    assert [worker.id for worker in snapshot] == [good.id]
    reason = "address 'a b' is neither an IP address nor a host name"
    assert snapshot.unusable == (UnusableWorker(odd.id, reason), UnusableWorker("w9", "it has no address"))
    left_out = [f"classify: worker '{odd.id}' is left out: {reason}"]
    assert [line for line in caplog.messages if odd.id in line] == left_out


async def test_consul_s_other_workers_are_asked(fleet, shared_consul):
    """Consul accepts any address and any boot id, and 12 of 12 calls are answered by the worker beside those."""
    (good,) = fleet.add()

    def register(name, **fields):
        body = {"Name": "beside", "ID": name, "Port": good.port, "Address": "127.0.0.1"} | fields
        url = f"{shared_consul.url}/v1/agent/service/register"
        urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), method="PUT")).close()

    await asyncio.to_thread(register, "good")
    for number, fields in enumerate(
        [{"Address": "http://10.0.0.5"}, {"Address": "a b"}, {"Meta": {"boot": "b\r\nX-Evil: 1"}}, {"Port": 70000}]
    ):
        await asyncio.to_thread(register, f"odd{number}", **fields)
    address = shared_consul.url.replace("http://", "consul://")
    async with AsyncClient(address, service="beside") as client:
        await client.classify(fleet.jpeg)
        subscription = client._core.channel("beside").subscription
        await until(lambda: len(subscription.listing.unusable) == 4)
        assert {(await client.classify(fleet.jpeg)).worker for _ in range(12)} == {good.address}


@pytest.mark.parametrize("count", [None, 3])
async def test_where_there_is_no_other_the_reason_is_told(fleet, count):
    """A lookup service that names only such workers is not asked again and again."""
    fleet.add(2)
    shown = fleet.lookup._shown
    fleet.lookup._shown = lambda worker: shown(worker) | {"port": 70000}
    async with AsyncClient(fleet.url, timeout_s=5) as client:
        with pytest.raises(ProtocolError, match="port 70000 is not from 1 to 65535"):
            await client.lookup("classify", count=count)
    assert len(fleet.lookup.asked) <= 2


@pytest.mark.parametrize("index", INDEXES)
async def test_an_index_that_is_none_ends_nothing(fleet, index):
    """Whatever stands for the index, calls are answered: by lookups where the list cannot be read."""
    (worker,) = fleet.add()
    listed = fleet.lookup._list

    async def with_index(request):
        said = json.loads((await listed(request)).body) | {"index": "HERE"}
        return web.Response(text=json.dumps(said).replace('"HERE"', index), content_type="application/json")

    fleet.lookup._list = with_index
    async with AsyncClient(fleet.url, service="classify", timeout_s=5) as client:
        assert (await client.classify(fleet.jpeg)).worker == worker.address
    async with AsyncClient(fleet.url, service="classify", routing="lookup", timeout_s=5) as client:
        with pytest.raises(ProtocolError):
            await client.workers()


async def test_panic_mode_is_told(fleet, caplog):
    """The lookup service's header, in both routings, becomes a log line and a part of the snapshot."""
    fleet.add(2)
    handle = fleet.lookup.handle

    async def in_panic(request):
        response = await handle(request)
        response.headers["X-Registry-Panic"] = "0/2"
        return response

    fleet.lookup.handle = in_panic
    fleet.lookup.stop()
    fleet.lookup.start()
    async with AsyncClient(fleet.url, service="classify", routing="lookup") as client:
        await client.classify(fleet.jpeg)
        assert (await client.workers()).panic == Panic(0, 2)
    assert "classify: 0 of 2 workers are healthy, fewer than half: all of them are used" in caplog.messages


async def test_most_workers_turning_critical_is_told(fleet):
    """What the client itself decides from the list is told in the same way."""
    workers = fleet.add(3)
    async with AsyncClient(fleet.url, service="classify") as client:
        await client.classify(fleet.jpeg)
        for worker in workers:
            worker.health = "critical"
        await asyncio.to_thread(setattr, fleet.lookup, "workers", workers)
        subscription = client._core.channel("classify").subscription
        await until(lambda: subscription.listing.panic == Panic(0, 3))
        assert (await client.workers()).panic == Panic(0, 3)
