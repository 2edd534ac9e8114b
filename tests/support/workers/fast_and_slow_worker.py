"""A worker without Consul on two ports: on one with the fast path, on the other with aiohttp alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from aiohttp import web

from registry.consul.settings import ConsulSettings
from registry.runtime.aiohttp_logging import quiet_logger
from registry.runtime.connections.open_connections import bounded_connections
from registry.runtime.tracing.server_spans import Tracing
from registry.security.access_control import AccessControl
from worker.artifacts.source import ModelSource
from worker.batching.core_scheduler import CoreScheduler
from worker.fast_path.aiohttp_connection import AiohttpConnection
from worker.fast_path.connection import connection_factory
from worker.repository.loader import running_threads
from worker.repository.model_versions import ModelVersions
from worker.repository.repository import ModelRepository
from worker.repository.request_epochs import RequestEpochs
from worker.server.app import FAST_PATH_HANDLER, SharedState, build_app
from worker.settings import WorkerSettings
from worker.telemetry.metrics import WorkerMetrics
from worker.ui.routes import PAGE_PATHS
from worker.web.access.port_access import OPEN, PortAccess
from worker.web.body_budget import BodyBudget
from worker.web.endpoint_state import EndpointState
from worker.web.request import IncomingRequest
from worker.web.responses import JsonResponse


@dataclass
class FastAndSlowWorker:
    """Both ports of one worker, its parts, and how many requests took the fast path."""

    runner: web.AppRunner
    store: ModelVersions
    state: EndpointState
    shared: SharedState
    fast_port: int = 0
    slow_port: int = 0
    taken: int = 0
    servers: list[asyncio.Server] = field(default_factory=list)


@asynccontextmanager
async def fast_and_slow_worker(
    *,
    finish_s: float = 1.0,
    idle_s: float = 75.0,
    pause_s: float = 10.0,
    body_memory_bytes: int = 1 << 30,
    control: AccessControl | None = None,
    tracing: Tracing | None = None,
    **more: Any,
) -> AsyncIterator[FastAndSlowWorker]:
    """Both ports over one model of the engine `echo`."""
    source = ModelSource(engine="echo")
    settings = WorkerSettings(backend=ConsulSettings(), source=source, finish_s=finish_s, **more)
    budget = BodyBudget(most_bytes=body_memory_bytes, total_s=settings.deadline_s, pause_s=pause_s)
    state = EndpointState(boot="b1", ready=True)
    async with bounded_connections(at_most=1000) as connections:
        shared = SharedState(WorkerMetrics(), RequestEpochs(), budget, connections, tracing=tracing)
        with running_threads(decoding=2) as threads:
            store = ModelVersions(
                settings.models[0], settings, threads=threads, scheduler=CoreScheduler(), numbers=shared.metrics,
                requests=shared.requests,
            )  # fmt: skip
            async with store:
                await store.load()
                access = PortAccess(control or AccessControl(), service=store.name, open_paths=OPEN | PAGE_PATHS)
                app = build_app(settings, ModelRepository([store]), state, shared, access)
                runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=finish_s)
                await runner.setup()
                both = FastAndSlowWorker(runner, store, state, shared)
                try:
                    await _listen(both, app[FAST_PATH_HANDLER], idle_s=idle_s)
                    yield both
                finally:
                    for server in both.servers:
                        server.close()
                    await runner.cleanup()
                    await asyncio.sleep(0.005)  # until the last connections are closed


async def _listen(both: FastAndSlowWorker, handler: Any, *, idle_s: float) -> None:
    server = both.runner.server
    assert server is not None
    loop, connections = asyncio.get_running_loop(), both.shared.connections
    options: dict[str, Any] = {
        "access_log": None,
        "logger": quiet_logger("tests.requests"),
        "keepalive_timeout": idle_s,
    }

    async def counted(request: IncomingRequest) -> JsonResponse:
        both.taken += 1
        response: JsonResponse = await handler(request)
        return response

    fast_path = partial(connection_factory(counted, connections, **options), server)
    fast = await loop.create_server(fast_path, "127.0.0.1", 0)
    slow = await loop.create_server(partial(AiohttpConnection, server, connections, **options), "127.0.0.1", 0)
    both.servers = [fast, slow]
    both.fast_port, both.slow_port = (s.sockets[0].getsockname()[1] for s in both.servers)
