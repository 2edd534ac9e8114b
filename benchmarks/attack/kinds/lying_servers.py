"""A lookup service and a worker, in one, whose answers an attack makes up."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from benchmarks.attack.targets import SERVICE

Fields = Mapping[str, object]


class LyingServer:
    """Answers lookups with the one worker that it is itself, and images with a label.

    worker:  fields of the worker that it names, instead of true ones
    index:   the JSON text of the index of its list of workers
    label:   the label of every image
    version: the version that it names among the services
    """

    def __init__(self) -> None:
        self.port = 0
        self.worker: Fields = {}
        self.index = "5"
        self.label = "cat"
        self.version = "1"

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one request."""
        if request.path.startswith("/instances"):
            instances = json.dumps([self._named()])
            return _json(f'{{"service": "{SERVICE}", "index": {self.index}, "instances": {instances}}}')
        if request.path.startswith("/next"):
            return _json(json.dumps(self._named()))
        if request.path == "/services":
            return _json(json.dumps([{"name": SERVICE, "instances": 1, "serving": 1, "versions": [self.version]}]))
        await request.read()
        return _json(json.dumps([[self.label, 0.5]]))

    def _named(self) -> dict[str, Any]:
        worker = {"service": SERVICE, "id": "w", "host": "127.0.0.1", "port": self.port, "version": "1", "boot": "b"}
        worker |= {"address": f"127.0.0.1:{self.port}", "weight": 1, "tags": [], "health": "passing"}
        return worker | dict(self.worker)


@asynccontextmanager
async def lying_server() -> AsyncIterator[LyingServer]:
    """Such a server on a free port of this machine."""
    server = LyingServer()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.port = runner.addresses[0][1]
    try:
        yield server
    finally:
        await runner.cleanup()


def _json(text: str) -> web.Response:
    return web.Response(text=text, content_type="application/json")
