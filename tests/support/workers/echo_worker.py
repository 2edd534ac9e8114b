"""A worker with the engine `echo`, which has no model, and requests to it."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from registry.consul.settings import ConsulSettings
from worker.artifacts.source import ModelSource
from worker.server.serve import RunningWorker, running
from worker.settings import WorkerSettings


@dataclass(frozen=True)
class Said:
    """One answer."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """Its sentence, which must be all that it says."""
        ((name, sentence),) = self.json.items()
        assert name == "error"
        return str(sentence)


@dataclass(frozen=True)
class EchoWorker:
    """A running worker that serves the model `echo`."""

    running: RunningWorker
    http: aiohttp.ClientSession

    @property
    def url(self) -> str:
        return f"http://{self.running.instance.address}"

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Said:
        """One request; a body that is not bytes is sent as JSON. Nothing is compressed unless the test says so."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        plain = {"Accept-Encoding": "identity"} | {name.replace("_", "-"): value for name, value in headers.items()}
        content = io.BytesIO(data) if data is not None else None  # aiohttp warns of large bytes
        async with self.http.request(method, self.url + path, data=content, headers=plain) as answer:
            return Said(answer.status, await answer.read(), answer.headers)

    async def get(self, path: str) -> Said:
        return await self.ask("GET", path)

    async def post(self, path: str, body: Any, **headers: str) -> Said:
        return await self.ask("POST", path, body, **headers)


@asynccontextmanager
async def echo_worker(consul: str | ConsulSettings, **changes: Any) -> AsyncIterator[EchoWorker]:
    """A worker with the default settings, except for `changes`; `consul` is its URL, or how to reach it."""
    source = ModelSource(engine="echo")
    consul_settings = ConsulSettings(url=consul) if isinstance(consul, str) else consul
    settings = WorkerSettings(consul_settings, source, **{"service": "echo", "drain_s": 0.0} | changes)
    async with running(settings) as worker, aiohttp.ClientSession(auto_decompress=False) as http:
        yield EchoWorker(worker, http)
