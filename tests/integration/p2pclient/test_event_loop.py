"""The event loop of an application goes on while the client copies, encodes or reads something large."""

from __future__ import annotations

import asyncio
import json
import threading

import numpy as np
import pytest
from aiohttp import web

from p2pclient import AsyncClient
from p2pclient.discovery import registry
from p2pclient.discovery.consul import record_watch, source
from p2pclient.payloads import classification, open_inference
from tests.support.workers.fake_worker import LABELS


@pytest.fixture
def threads_of(monkeypatch):
    """Notes in which threads a function of a module is called."""

    def note(module, name):
        seen, real = set(), getattr(module, name)

        def noting(*arguments):
            seen.add(threading.current_thread() is threading.main_thread())
            return real(*arguments)

        monkeypatch.setattr(module, name, noting)
        return seen

    return note


@pytest.mark.parametrize("large", [False, True])
async def test_large_answers_of_workers_are_read_in_a_thread(fleet, threads_of, monkeypatch, large):
    """Thousands of labels do not hold up other calls; few are read at once, which costs less."""
    in_loop = threads_of(classification, "labels")
    monkeypatch.setattr("p2pclient.async_client.labels", classification.labels)
    (worker,) = fleet.add()
    told = await asyncio.to_thread(json.dumps, LABELS * (5000 if large else 1))

    async def many(_request, _body):
        return web.json_response(text=told)

    worker.behave = many
    async with AsyncClient(fleet.url) as client:
        await client.classify(fleet.jpeg)
    assert in_loop == {not large}


async def test_large_lists_of_workers_are_read_in_a_thread(fleet, threads_of):
    """A service of a thousand workers is read off the loop, from a lookup service and from Consul."""
    of_registry, of_consul = threads_of(registry, "_listed"), threads_of(source, "read_health")
    of_record = threads_of(record_watch, "read_entry")
    fields = {"service": "classify", "host": "127.0.0.1", "port": 9, "health": "passing"}
    entries = [fields | {"id": f"w{number:04}", "boot": "b" * 99} for number in range(1000)]
    nodes = []
    for entry in entries:
        place = {"ID": entry["id"], "Service": "classify", "Address": "127.0.0.1", "Port": 9}
        nodes.append({"Node": {"Node": "n"}, "Service": place | {"Meta": {"boot": entry["boot"]}}})

    async def answer(request, _body):
        if "/v1/" in request.path:
            return web.json_response(nodes, headers={"X-Consul-Index": "7"})
        return web.json_response({"service": "classify", "index": 1, "instances": entries})

    fleet.lookup.replace = answer
    for scheme in ("http", "consul"):
        async with AsyncClient(fleet.url.replace("http", scheme, 1), service="classify", routing="lookup") as client:
            assert len(await client.workers()) == 1000
    assert (of_registry, of_consul, of_record) == ({False}, {False}, {False})


@pytest.mark.parametrize("elements", [10, 2**21])
async def test_large_tensors_are_copied_in_a_thread(fleet, threads_of, elements):
    """A large array is copied twice before it is sent."""
    open_inference.numpy()  # which is imported in a thread, with the first tensors
    in_loop = threads_of(open_inference, "tensor")
    (worker,) = fleet.add()

    async def echo(_request, _body):
        outputs = [{"name": "y", "datatype": "FP32", "shape": [1], "data": [1.0]}]
        return web.Response(text=json.dumps({"model_name": "m", "outputs": outputs}))

    worker.behave = echo
    async with AsyncClient(fleet.url) as client:
        await client.predict({"x": np.zeros(elements, "f4")})
    assert in_loop == {elements == 10}
