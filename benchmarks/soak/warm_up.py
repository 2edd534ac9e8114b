"""Fills what is bounded and fills slowly, before anything is measured: the lookup service's log of 1,000 events."""

from __future__ import annotations

import asyncio
import json

import aiohttp

from benchmarks.harness.consul import register
from benchmarks.harness.processes import get
from registry.events.event_log import KEPT

AT_ONCE = 20

_SERVICE = "passing-by"


def fill_event_log(consul_url: str, lookup_url: str) -> None:
    """Register workers of a service that nobody asks for, and remove them, until that many events have happened."""
    while _last_event(lookup_url) < KEPT:
        asyncio.run(_come_and_go(consul_url))


async def _come_and_go(consul_url: str) -> None:
    addresses = [("127.0.0.1", port) for port in range(1, AT_ONCE + 1)]
    await register(consul_url, _SERVICE, addresses)
    await asyncio.sleep(0.2)  # the lookup service is told of them before they go
    async with aiohttp.ClientSession(consul_url) as http:
        for host, port in addresses:
            async with http.put(f"/v1/agent/service/deregister/{_SERVICE}-{host}-{port}") as answer:
                answer.raise_for_status()


def _last_event(lookup_url: str) -> int:
    events = json.loads(get(f"{lookup_url}/events"))["events"]
    return int(events[-1]["number"]) if events else 0
