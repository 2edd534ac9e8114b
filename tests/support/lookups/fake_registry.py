"""A lookup service that names the workers that a test gives it, whether they live or not."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any, Protocol

from aiohttp import web

from tests.support.servers.fake_server import Server
from tests.support.workers.fake_worker import Behaviour


class Named(Protocol):
    """A worker as far as the lookup service shows it."""

    id: str
    port: int
    boot: str
    health: str
    unreachable: str

    @property
    def address(self) -> str: ...


class FakeRegistry(Server):
    """The lookup service: hands `workers` out in rotation, whether they live or not.

    `asked` are the requests for one worker or several, `watched` those for the whole list, which wait for a
    change as the contract says.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._workers: list[Named] = []
        self._revision = 1
        self._changed = asyncio.Event()
        self.asked: list[str] = []
        self.watched: list[str] = []
        self.authorizations: set[str | None] = set()
        self.replace: Behaviour | None = None
        self.ticket_lifetime_s = 60
        self.auth = "none"  # what the workers want
        self.handed: list[str] = []  # the tickets that were asked for without an address
        self._tickets = itertools.count(1)
        self._turn = itertools.count()

    @property
    def workers(self) -> list[Named]:
        return self._workers

    @workers.setter
    def workers(self, workers: list[Named]) -> None:
        self._workers = workers
        self.wait(self._change())

    async def _change(self) -> None:
        self._revision += 1
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.authorizations.add(request.headers.get("Authorization"))
        if "probe" in request.query:
            found = [self._shown(w) | {"unreachable": w.unreachable} for w in self._workers]
            return web.json_response({"service": "classify", "index": self._revision, "instances": found})
        watch = request.path.startswith("/instances/")
        (self.watched if watch else self.asked).append(str(request.rel_url))
        if self.replace is not None:
            return await self.replace(request, b"")
        if request.path == "/instances/classify":
            return await self._list(request)
        if request.path == "/services":
            return web.json_response([{"name": "classify", "instances": 2, "serving": 1, "versions": ["1"]}])
        if request.path == "/tickets/classify":
            self.handed.append(self._ticket())
            answer = {"service": "classify", "ticket": self.handed[-1], "expires_in_s": self.ticket_lifetime_s}
            return web.json_response(answer)
        if request.path not in ("/next", "/next/classify"):
            return web.Response(status=404, text="no service of that name; there are: classify, echo\n")
        if not self.workers:
            return web.Response(status=503, headers={"Retry-After": "1"}, text="no healthy worker: start one\n")
        first = next(self._turn)
        order = [self.workers[(first + i) % len(self.workers)] for i in range(len(self.workers))]
        found = [self._shown(worker) | self._own_ticket() for worker in order]
        count = request.query.get("count")
        return web.json_response(found[0] if count is None else found[: int(count)])

    async def _list(self, request: web.Request) -> web.Response:
        if request.query.get("index") == str(self._revision):
            await asyncio.wait_for(self._changed.wait(), 60)
        shown = [self._shown(w) | {"health": w.health, "weight": 1} for w in self._workers]
        return web.json_response({"service": "classify", "index": self._revision, "instances": shown})

    def _own_ticket(self) -> dict[str, Any]:
        if self.auth != "ticket":
            return {}
        return {"ticket": self._ticket(), "ticket_expires_in_s": self.ticket_lifetime_s}

    def _ticket(self) -> str:
        return f"ticket.{next(self._tickets)}.{self.port}"

    def _shown(self, worker: Named) -> dict[str, Any]:
        return {
            "service": "classify",
            "id": worker.id,
            "host": "127.0.0.1",
            "port": worker.port,
            "address": worker.address,
            "scheme": "http",
            "version": "1",
            "boot": worker.boot,
            "auth": self.auth,
        }
