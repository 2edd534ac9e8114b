"""Workers of many services are registered and deregistered in Consul at a steady rate, for the scale benchmark.

A change registers or deregisters one worker of one service; services take turns. The embedded agent is written to
through its agent API, as workers do it. A real Consul is written to through its catalog API, as if the workers were
on many machines: one agent that holds 10,000 of them would compare all of them with the servers at every change.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp

AT_ONCE = 32

Call = tuple[str, dict[str, Any] | None]
"""A PUT: path and body."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """`services` services of `size` workers each."""

    services: int
    size: int

    @property
    def instances(self) -> int:
        return self.services * self.size

    def __str__(self) -> str:
        return f"{self.services:,} x {self.size:,}"


@dataclass(frozen=True, slots=True)
class Writes:
    """The calls that register and deregister worker `number` of service `service`."""

    register: Callable[[int, int], Call]
    deregister: Callable[[int, int], Call]


def name_of(service: int) -> str:
    """The name of a service."""
    return f"service-{service}"


def _definition(service: int, number: int) -> dict[str, Any]:
    host, name = f"10.{service & 255}.{number >> 8}.{number & 255}", name_of(service)
    meta = {"boot": str(uuid.uuid4()), "version": "1"}
    return {"ID": f"{name}-{host}-9000", "Address": host, "Port": 9000, "Tags": ["p2p"], "Meta": meta}


def _agent_register(service: int, number: int) -> Call:
    return "/v1/agent/service/register", _definition(service, number) | {"Name": name_of(service)}


def _agent_deregister(service: int, number: int) -> Call:
    return f"/v1/agent/service/deregister/{_definition(service, number)['ID']}", None


def _catalog_register(service: int, number: int) -> Call:
    known = _definition(service, number) | {"Service": name_of(service)}
    checks = [
        {"CheckID": f"{known['ID']}:{kind}", "Name": name, "Status": "passing", "ServiceID": known["ID"]}
        for kind, name in (("http", "answers its health path"), ("ttl", "its prediction loop moves"))
    ]
    node = {"Node": f"node-{number}", "Address": "10.0.0.1"}
    return "/v1/catalog/register", {**node, "Service": known, "Checks": checks}


def _catalog_deregister(service: int, number: int) -> Call:
    return "/v1/catalog/deregister", {"Node": f"node-{number}", "ServiceID": _definition(service, number)["ID"]}


AGENT = Writes(_agent_register, _agent_deregister)
CATALOG = Writes(_catalog_register, _catalog_deregister)


async def register_all(consul: str, writes: Writes, fleet: Fleet) -> None:
    """Register all workers of a fleet."""
    gate = asyncio.Semaphore(AT_ONCE)
    async with aiohttp.ClientSession(consul) as http:

        async def one(service: int, number: int) -> None:
            async with gate:
                await _put(http, writes.register(service, number))

        await asyncio.gather(*(one(s, n) for s in range(fleet.services) for n in range(fleet.size)))


async def change(consul: str, writes: Writes, fleet: Fleet, *, every_s: float, seconds: float) -> int:
    """Make a change every `every_s` for at least `seconds`; the number of changes.

    The first round over all services registers one more worker of each, the next round deregisters it; at the end
    none of these is registered. Where Consul takes longer than `every_s` for one change, there are fewer changes.
    """
    made, extra = 0, fleet.size
    async with aiohttp.ClientSession(consul) as http:
        began_s = time.monotonic()
        while time.monotonic() < began_s + seconds or made % (2 * fleet.services):
            turn, service = divmod(made, fleet.services)
            await _put(http, (writes.deregister if turn % 2 else writes.register)(service, extra))
            made += 1
            await asyncio.sleep(max(0.0, began_s + made * every_s - time.monotonic()))
    return made


async def _put(http: aiohttp.ClientSession, call: Call) -> None:
    path, body = call
    async with http.put(path, json=body) as answer:
        answer.raise_for_status()
