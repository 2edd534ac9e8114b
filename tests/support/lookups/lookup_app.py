"""The lookup's application over a catalog that never changes, with or without its fast path, and requests to it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial

from aiohttp import web

from registry.backend.health_answer import HealthAnswer
from registry.discovery.directory import Directory
from registry.instances.instance import Health, Instance
from registry.lookup.connection import LookupConnection
from registry.lookup.fast_path import FastPath
from registry.lookup.routes import build_app
from registry.runtime.connections.open_connections import Connections
from registry.runtime.tracing.server_spans import Tracing
from registry.security.access_control import AccessControl
from tests.support.fakes import LikeConsul
from tests.support.raw_http import undated
from tests.support.waiting import until

PLAIN = b"GET /next HTTP/1.1\r\nHost: localhost\r\n\r\n"
"""A request that the fast path answers."""

OPTIONS = {"access_log": None, "keepalive_timeout": 75.0}


class OneWorker(LikeConsul):
    """A catalog in which one service has one worker for ever: every rotation gives the same answer.

    `leader`: whether Consul knows one; without, what it says is stale, and has never been confirmed. `panic`: the
    worker is critical at the second answer, as it is after its agent has restarted. `meta` is its registration's.
    """

    def __init__(self, *, leader: bool, panic: bool = False, meta: Mapping[str, str] | None = None) -> None:
        self._meta = meta or {}
        self._leader = leader
        self._panic = panic

    async def services(self, *, index: int = 0) -> tuple[int, Mapping[str, frozenset[str]]]:
        if index:
            await asyncio.Event().wait()
        return 1, {"classify": frozenset({"p2p"}), "empty": frozenset({"p2p"})}

    async def health(self, service: str, *, index: int = 0, wait_s: float = 0) -> HealthAnswer:
        if index > int(self._panic):
            await asyncio.Event().wait()
        health = Health.CRITICAL if index else Health.PASSING
        about = {"version": "3", "tags": ("p2p",), "boot": "b1", "meta": self._meta}
        worker = Instance("classify", "w1", "127.0.0.1", 9001, health=health, **about)
        return HealthAnswer(index + 1, (worker,) if service == "classify" else (), known_leader=self._leader)


@asynccontextmanager
async def served(
    *,
    fast: bool,
    leader: bool = True,
    panic: bool = False,
    meta: Mapping[str, str] | None = None,
    access: AccessControl | None = None,
    tracing: Tracing | None = None,
) -> AsyncIterator[tuple[int, FastPath]]:
    catalog = OneWorker(leader=leader, panic=panic, meta=meta)
    async with Directory(catalog, default="classify") as directory:  # type: ignore[arg-type]  # a fake
        service = directory.find("classify")
        assert service is not None, "it is the default"
        await until(lambda: service.snapshot.known and (service.snapshot.panic is not None) == panic)
        path = FastPath(directory, access=access, tracing=tracing)
        app = build_app(directory, path, access=access)
        async with listening(app, path, Connections(at_most=1000), fast=fast) as port:
            yield port, path


@asynccontextmanager
async def listening(
    app: web.Application, path: FastPath, connections: Connections, *, fast: bool
) -> AsyncIterator[int]:
    """The port at which the lookup's application is reached: by the fast path first, or by aiohttp alone."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    assert runner.server is not None
    factory = partial(LookupConnection, runner.server, path, connections, **OPTIONS) if fast else runner.server
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await runner.cleanup()
        await asyncio.sleep(0.005)  # for the last connections to be let go


def alike(said: bytes) -> bytes:
    """What was said, without what differs between any two moments or ports."""
    return re.sub(rb"reachable at [^:]+:\d+", b"reachable at here", undated(said))


PLAIN_TARGETS = (
    b"/ /next /next/classify /next/empty /next/nobody /next?count=2 /next?count=0 /? /next?version=3 /next/ // "
    b"/next?scheme=1 /next/classify?scheme=1 /next?scheme=2 /next?scheme=1&count=2 /?scheme=1 "
    b"/next?count=2&version=3 /next/classify?version=4 /next?count=2&count=3 /next?count=10&scheme=1&version=3 "
    b"/n%65xt /next/class%69fy /next/a%0d%0ab /nowhere http://elsewhere/next * /services"
).split()
