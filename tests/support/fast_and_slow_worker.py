"""A worker's two roads side by side, without Consul: one port with the plain road, one that is aiohttp's alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from registry.consul.settings import ConsulSettings
from registry.runtime.aiohttp_logging import quiet_logger
from worker.artifacts.source import ModelSource
from worker.batching.core_scheduler import Turns
from worker.fast_path.aiohttp_connection import Connection
from worker.fast_path.connection import roads
from worker.repository.loader import running_threads
from worker.repository.model_versions import Store
from worker.repository.repository import Models
from worker.repository.request_epochs import Requests
from worker.server.app import PLAIN, Shared, build_app
from worker.settings import WorkerSettings
from worker.telemetry.metrics import Numbers
from worker.web.body_budget import Receiving
from worker.web.endpoint_state import Presence
from worker.web.request import Asked
from worker.web.responses import Answer


@dataclass
class Roads:
    """Both ports of one worker, its parts, and how many requests took the plain road."""

    runner: web.AppRunner
    store: Store
    presence: Presence
    shared: Shared
    plain_port: int = 0
    other_port: int = 0
    taken: int = 0
    servers: list[asyncio.Server] = field(default_factory=list)


@asynccontextmanager
async def two_roads(
    *, finish_s: float = 1.0, idle_s: float = 75.0, pause_s: float = 10.0, body_memory_bytes: int = 1 << 30, **more: Any
) -> AsyncIterator[Roads]:
    """Both roads over one model of the engine `echo`."""
    source = ModelSource(engine="echo")
    settings = WorkerSettings(consul=ConsulSettings(), source=source, finish_s=finish_s, **more)
    receiving = Receiving(most_bytes=body_memory_bytes, total_s=settings.deadline_s, pause_s=pause_s)
    shared, presence = Shared(Numbers(), Requests(), receiving), Presence(boot="b1", ready=True)
    with running_threads(decoding=2) as threads:
        store = Store(
            settings.models[0], settings, threads=threads, turns=Turns(), numbers=shared.numbers,
            requests=shared.requests,
        )  # fmt: skip
        async with store:
            await store.load()
            app = build_app(settings, Models([store]), presence, shared)
            runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=finish_s)
            await runner.setup()
            both = Roads(runner, store, presence, shared)
            try:
                await _listen(both, app[PLAIN], idle_s=idle_s)
                yield both
            finally:
                for server in both.servers:
                    server.close()
                await runner.cleanup()
                await asyncio.sleep(0.005)  # for the last connections to be let go


async def _listen(both: Roads, answering: Any, *, idle_s: float) -> None:
    server = both.runner.server
    assert server is not None
    loop = asyncio.get_running_loop()
    options: dict[str, Any] = {
        "access_log": None,
        "logger": quiet_logger("tests.requests"),
        "keepalive_timeout": idle_s,
    }

    async def counted(asked: Asked) -> Answer:
        both.taken += 1
        answer: Answer = await answering(asked)
        return answer

    plain = await loop.create_server(roads(server, counted, **options), "127.0.0.1", 0)
    other = await loop.create_server(lambda: Connection(server, loop=loop, **options), "127.0.0.1", 0)
    both.servers = [plain, other]
    both.plain_port, both.other_port = (s.sockets[0].getsockname()[1] for s in both.servers)
