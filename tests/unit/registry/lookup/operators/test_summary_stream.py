"""`GET /summary` as a stream: the whole, then what has changed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer

from registry.discovery.directory import Directory
from registry.events.event_log import EventLog
from registry.instances.instance import Health, Instance
from registry.lookup.fast_path import FastPath
from registry.lookup.routes import build_app
from tests.support.fakes import FakeCatalog
from tests.support.waiting import until

A = Instance("classify", "a", "127.0.0.1", 9001)
B = replace(A, id="b", port=9002)


async def next_message(stream: ClientResponse) -> tuple[str, dict[str, Any]]:
    """The name and the data of the next event of a stream."""
    name = ""
    while True:
        line = (await stream.content.readline()).decode().rstrip()
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        if line.startswith("data: "):
            return name, json.loads(line.removeprefix("data: "))


async def test_a_stream_begins_with_the_whole_and_goes_on_with_changes() -> None:
    """A worker becomes critical, so the other one gets all lookups; the stream ends with the lookup service."""
    catalog, log = FakeCatalog(classify=(A, B)), EventLog()
    async with Directory(catalog, default="classify", observe=log.observe) as directory:  # type: ignore[arg-type]
        app = build_app(directory, FastPath(directory), events=log)
        async with TestClient(TestServer(app)) as client:
            await until(lambda: log.last == 1)
            async with client.get("/summary", headers={"Accept": "text/event-stream"}) as stream:
                name, said = await next_message(stream)
                assert name == ""
                assert [worker["id"] for worker in said["services"][0]["workers"]] == ["a", "b"]
                catalog.put("classify", A, replace(B, health=Health.CRITICAL))
                name, said = await next_message(stream)
                assert name == "changes"
                assert (said["services"][0]["healthy"], said["gone"]) == (1, [])
                changed = {worker["id"]: worker for worker in said["services"][0]["changed"]}
                assert (changed["b"]["health"], changed["a"]["share_percent"]) == ("critical", 100.0)
                log.end()
                assert await stream.content.read() == b"\n"
