"""A proxy process from start to end: bind, find workers, forward, stop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Handler

from registry.consul.catalog import FOLLOW_TIMEOUT_S, Catalog
from registry.consul.instance import Instance
from registry.consul.settings import ConsulSettings
from registry.discovery.directory import Directory
from registry.lookup.service_resolution import FIRST_ANSWER_WAIT_S
from registry.proxy.forward import BUFFER_BYTES, Proxy, Relayed, open_session
from registry.proxy.upstreams import FixedWorkers, ServiceWorkers, Workers
from registry.runtime.aiohttp_logging import quiet_logger
from registry.runtime.listen import bind, port_of
from registry.web.refusal import Refusal, refused

logger = logging.getLogger(__name__)

KEEP_ALIVE_S = 75.0
"""A client's connection on which no whole request head came for so long is closed, as nginx does."""

CLOSING_S = 30.0
"""How long requests that are under way may take at the end."""


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """What `p2p proxy` takes: see its --help for the meaning of each.

    Requests go to `workers`, or where there are none to those of `service` that `consul` knows. `idle_s` is
    how long nothing may move before an exchange is given up, as nginx's proxy_read_timeout and its siblings.
    """

    consul: ConsulSettings
    host: str = "127.0.0.1"
    port: int = 12479
    workers: tuple[Instance, ...] = ()
    service: str = "classify"
    connect_timeout_s: float = 1.0
    idle_s: float = 60.0


@dataclass(frozen=True, slots=True)
class RunningProxy:
    """A proxy that forwards what comes to `url`."""

    url: str
    port: int


@asynccontextmanager
async def running(settings: ProxySettings) -> AsyncIterator[RunningProxy]:
    """A proxy, forwarding on entry and gone on exit. Raises SettingsError for a taken port."""
    listener = bind(settings.host, settings.port)
    try:
        async with (
            _workers(settings) as workers,
            open_session(connect_timeout_s=settings.connect_timeout_s) as session,
        ):
            runner = web.AppRunner(
                build_app(Proxy(workers, session, idle_s=settings.idle_s)),
                access_log=None,
                logger=quiet_logger(f"{__name__}.requests"),
                shutdown_timeout=CLOSING_S,
                keepalive_timeout=KEEP_ALIVE_S,
                handler_cancellation=True,  # who hangs up takes the request back from the worker
                auto_decompress=False,
                read_bufsize=BUFFER_BYTES,
            )
            await runner.setup()
            await web.SockSite(runner, listener).start()
            try:
                host = f"[{settings.host}]" if ":" in settings.host else settings.host
                yield RunningProxy(f"http://{host}:{port_of(listener)}", port_of(listener))
            finally:
                await runner.cleanup()
    finally:
        listener.close()


async def serve(settings: ProxySettings, stop: asyncio.Event) -> None:
    """Forward requests until `stop` is set."""
    async with running(settings) as proxy:
        whom = ", ".join(w.address for w in settings.workers) or f"{settings.service} as Consul knows it"
        logger.info("Proxy on %s, sending requests on to %s.", proxy.url, whom)
        await stop.wait()
        logger.info("Stopping: finishing what is under way.")


def build_app(proxy: Proxy) -> web.Application:
    """The application in which every request goes through `proxy`."""
    app = web.Application(middlewares=[_paths_only])
    app.on_response_prepare.append(_say_what_the_worker_said)
    app.router.add_route("*", r"/{path:[\s\S]*}", proxy.handle, expect_handler=_ask_when_the_worker_does)
    return app


@asynccontextmanager
async def _workers(settings: ProxySettings) -> AsyncIterator[Workers]:
    if settings.workers:
        yield FixedWorkers(settings.workers)
        return
    catalog = Catalog(settings.consul, timeout_s=FOLLOW_TIMEOUT_S)
    try:
        async with Directory(catalog, default=settings.service) as directory:
            service = directory.followed(settings.service)
            assert service is not None  # the default service is followed from the start
            await service.known(timeout_s=FIRST_ANSWER_WAIT_S)
            yield ServiceWorkers(directory)
    finally:
        await catalog.close()


async def _say_what_the_worker_said(_: web.Request, response: web.StreamResponse) -> None:
    """Take out what the framework adds to an answer that it believes to be its own."""
    if isinstance(response, Relayed):
        for name in ("Content-Type", "Server"):
            if name not in response.said:
                response.headers.popall(name, None)


async def _ask_when_the_worker_does(_: web.Request) -> None:
    """In the place of the framework's `100 Continue`: nothing, Upload says it when it is time."""


@web.middleware
async def _paths_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever has no path (`OPTIONS *`, `CONNECT host:port`) is not for a worker."""
    try:
        return await handler(request)
    except web.HTTPNotFound:
        return refused(Refusal(400, f"{request.method} without a path cannot be sent on: ask for one."))
