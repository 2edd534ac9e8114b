"""`GET /events` of the lookup service: one JSON object, or a stream that goes on."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer

from registry.discovery.directory import Directory
from registry.events.event import Event, Kind
from registry.events.event_log import EventLog
from registry.instances.instance import Instance
from registry.lookup.fast_path import FastPath
from registry.lookup.routes import build_app
from tests.support.fakes import FakeCatalog
from tests.support.waiting import until

A = Instance("classify", "a", "127.0.0.1", 9001)
STREAM = {"Accept": "text/event-stream"}


@asynccontextmanager
async def lookup() -> AsyncIterator[tuple[TestClient[Any, Any], EventLog, FakeCatalog]]:
    catalog, log = FakeCatalog(classify=(A,)), EventLog()
    async with Directory(catalog, default="classify", observe=log.observe) as directory:  # type: ignore[arg-type]
        app = build_app(directory, FastPath(directory), events=log)
        async with TestClient(TestServer(app)) as client:
            await until(lambda: log.last == 1)
            yield client, log, catalog


async def next_event(stream: ClientResponse) -> tuple[str, dict[str, Any]]:
    """The id and the data of the next event of a stream."""
    id_ = ""
    while True:
        line = (await stream.content.readline()).decode().rstrip()
        if line.startswith("id: "):
            id_ = line.removeprefix("id: ")
        if line.startswith("data: "):
            return id_, json.loads(line.removeprefix("data: "))


async def test_events_are_told_as_json_and_can_be_chosen() -> None:
    """All that are kept, those after one, those of a kind, those of a service."""
    async with lookup() as (client, log, catalog):
        catalog.put("classify", A, Instance("classify", "b", "127.0.0.1", 9002))
        await until(lambda: log.last == 2)
        log.record([Event(Kind.STALE, "Consul does not answer.", "dogs")])

        async def numbers(query: str) -> list[int]:
            async with client.get(f"/events{query}") as answer:
                found = await answer.json()
            assert (found["log"], found["last"]) == (log.name, 3)
            return [event["number"] for event in found["events"]]

        assert await numbers("") == [1, 2, 3]
        assert await numbers("?after=2") == [3]
        assert await numbers(f"?after=2&log={log.name}") == [3]
        assert await numbers("?after=2&log=another") == [1, 2, 3]
        assert await numbers("?kind=joined&kind=stale") == [2, 3]
        assert await numbers("?service=dogs") == [3]
        async with client.get("/events?kind=party") as answer:
            assert (answer.status, "there are joined, left" in await answer.text()) == (400, True)


async def test_a_stream_goes_on_with_what_happens() -> None:
    """It begins with what is kept; a reader that comes back goes on after the last event that it has."""
    async with lookup() as (client, log, catalog):
        async with client.get("/events", headers=STREAM) as stream:
            assert stream.headers["Content-Type"] == "text/event-stream"
            first, event = await next_event(stream)
            assert (first, event["kind"]) == (f"{log.name}-1", "fresh")
            catalog.put("classify", replace(A, id="b", port=9002))
            _, event = await next_event(stream)
            assert (event["kind"], event["text"]) == ("left", "classify at 127.0.0.1:9001 has left.")
        async with client.get("/events", headers=STREAM | {"Last-Event-ID": first}) as stream:
            assert (await next_event(stream))[1]["number"] == 2
        async with client.get("/events", headers=STREAM | {"Last-Event-ID": "0123456789ab-2"}) as stream:
            assert (await next_event(stream))[1]["number"] == 1


async def test_a_stream_ends_when_the_log_ends() -> None:
    """So a lookup service that stops does not wait for those who follow its events."""
    async with lookup() as (client, log, _), client.get("/events?after=1", headers=STREAM) as stream:
        assert await stream.content.readline() == b"retry: 1000\n"
        log.end()
        assert await stream.content.read() == b"\n"
