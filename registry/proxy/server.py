"""Runs a proxy process from start to end: bind, find workers, forward, stop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from registry.chosen_backend import BackendSettings, open_source
from registry.consul.settings import ConsulSettings
from registry.discovery.directory import Directory
from registry.events.event_log import EventLog
from registry.instances.instance import Instance
from registry.proxy.forward import BUFFER_BYTES, ForwardedResponse, Proxy, open_session
from registry.proxy.upstreams import FixedWorkers, ServiceWorkers, Workers
from registry.rollout.record_watch import following_rollouts
from registry.runtime.address import server_url
from registry.runtime.aiohttp_logging import quiet_logger
from registry.runtime.connections.open_connections import bounded_connections, connections_at_most
from registry.runtime.connections.request_handler import BoundedConnection
from registry.runtime.exposure import warn_if_exposed
from registry.runtime.listen import bind, port_of
from registry.runtime.logs.access_log import AccessLog
from registry.runtime.processes import open_files
from registry.runtime.request_id import RequestIds
from registry.runtime.tls.server import TlsFiles, serving_tls
from registry.runtime.tls.trust import TrustFiles
from registry.security.access import AccessDenied, check_service
from registry.security.access_control import AccessControl, access_control
from registry.security.access_settings import OPEN_TO_ALL, AccessSettings
from registry.security.caller import Role
from registry.web.discard_body import respond_and_discard_body
from registry.web.refusal import Refusal, refused
from registry.web.request_ids import ResponseSignal, adds_request_ids, logs_access
from registry.web.serving import serving_app

logger = logging.getLogger(__name__)

KEEP_ALIVE_S = 75.0
"""A client's connection is closed after so long without a whole request head, as nginx does."""

FILES_ASIDE = 64
"""Files that are kept for the connections to Consul, and for what the process itself needs."""

CLOSING_S = 30.0
"""How long requests in flight may take when the process stops."""


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """What `p2p proxy` takes: see its --help for the meaning of each.

    Requests go to `workers`, or where there are none to the workers of `service` that `consul` knows. An exchange is
    given up after `idle_s` in which no byte moves, as with nginx's proxy_read_timeout and its siblings. `tls` None:
    clients speak plain HTTP. `upstream`: what workers' certificates are verified with, and what is shown to workers.
    `access` says who may ask; each request's Authorization header goes on to the worker all the same.
    """

    backend: BackendSettings
    host: str = "127.0.0.1"
    port: int = 12479
    workers: tuple[Instance, ...] = ()
    service: str = "classify"
    tls: TlsFiles | None = None
    upstream: TrustFiles = field(default_factory=TrustFiles)
    connect_timeout_s: float = 1.0
    idle_s: float = 60.0
    access: AccessSettings = OPEN_TO_ALL
    access_log_sample: float | None = None


@dataclass(frozen=True, slots=True)
class RunningProxy:
    """A proxy that forwards the requests that `url` receives."""

    url: str
    port: int


def _clients_at_most() -> int:
    """How many clients may be connected, when each of them may need a connection to a worker."""
    return connections_at_most(open_files.limit(), aside=FILES_ASIDE, files_per_connection=2)


@asynccontextmanager
async def running(settings: ProxySettings) -> AsyncIterator[RunningProxy]:
    """A proxy that forwards while the context is open. Raises SettingsError for a taken port."""
    listener = bind(settings.host, settings.port)
    try:
        async with (
            _workers(settings) as workers,
            access_control(settings.access) as access,
            open_session(connect_timeout_s=settings.connect_timeout_s, tls=settings.upstream.verification()) as session,
            serving_tls(settings.tls) as tls,
            bounded_connections(at_most=_clients_at_most()) as connections,
        ):
            app = build_app(
                Proxy(workers, session, idle_s=settings.idle_s),
                access,
                service=None if settings.workers else settings.service,
                access_log=None if settings.access_log_sample is None else AccessLog(settings.access_log_sample),
            )
            options = {
                "access_log": None,
                "logger": quiet_logger(f"{__name__}.requests"),
                "keepalive_timeout": KEEP_ALIVE_S,
                "auto_decompress": False,
                "read_bufsize": BUFFER_BYTES,
            }

            def make(http: web.Server) -> BoundedConnection:
                return BoundedConnection(http, connections, **options)

            # A client that hangs up cancels the request to the worker.
            async with serving_app(
                app, listener, connections, make, tls=tls, closing_s=CLOSING_S, handler_cancellation=True
            ):
                port = port_of(listener)
                yield RunningProxy(server_url(settings.host, port, tls=tls is not None), port)
    finally:
        listener.close()


async def serve(settings: ProxySettings, stop: asyncio.Event) -> None:
    """Forward requests until `stop` is set."""
    async with running(settings) as proxy:
        by_service = f"{settings.service} as {settings.backend.product} knows it"
        workers = ", ".join(w.address for w in settings.workers) or by_service
        logger.info("Proxy on %s, sending requests on to %s.", proxy.url, workers)
        warn_if_exposed(settings.host, tls=settings.tls is not None, tokens=settings.access.tokens is not None)
        await stop.wait()
        logger.info("Stopping: finishing what is under way.")


def build_app(
    proxy: Proxy, access: AccessControl, *, service: str | None, access_log: AccessLog | None = None
) -> web.Application:
    """The application in which every request goes through `proxy` whose caller may ask the workers of `service`."""
    ids = RequestIds()
    app = web.Application(middlewares=[_paths_only, _known_callers_only(access, service)])
    app.on_response_prepare.append(_remove_added_headers)
    app.on_response_prepare.append(_identifies_own_answers(ids))
    if access_log is not None:
        app.middlewares.insert(0, logs_access(access_log, ids))
    app.router.add_route("*", r"/{path:[\s\S]*}", proxy.handle, expect_handler=_no_100_continue)
    return app


@asynccontextmanager
async def _workers(settings: ProxySettings) -> AsyncIterator[Workers]:
    if settings.workers:
        yield FixedWorkers(settings.workers)
        return
    source = open_source(settings.backend)
    try:
        observe = EventLog().observe
        async with (
            Directory(source, default=settings.service, followed_at_most=1, observe=observe) as directory,
            _following_rollouts(settings, directory),
        ):
            service = directory.followed(settings.service)
            assert service is not None  # the default service is followed from the start
            await service.wait_until_known()
            yield ServiceWorkers(directory)
    finally:
        await source.close()


def _following_rollouts(settings: ProxySettings, directory: Directory) -> AbstractAsyncContextManager[None]:
    """Follows the records of rollouts, which only Consul holds."""
    if not isinstance(settings.backend, ConsulSettings):
        return nullcontext()
    return following_rollouts(settings.backend, directory.use_rollouts)


async def _remove_added_headers(_: web.Request, response: web.StreamResponse) -> None:
    """Remove the headers that aiohttp has added to a forwarded response."""
    if isinstance(response, ForwardedResponse):
        for name in ("Content-Type", "Server"):
            if name not in response.worker_headers:
                response.headers.popall(name, None)


def _identifies_own_answers(ids: RequestIds) -> ResponseSignal:
    """Gives a request id to the proxy's own answers; those of workers carry what the workers say."""
    add = adds_request_ids(ids)

    async def add_to_own(request: web.Request, response: web.StreamResponse) -> None:
        if not isinstance(response, ForwardedResponse):
            await add(request, response)

    return add_to_own


async def _no_100_continue(_: web.Request) -> None:
    """In place of the framework's `100 Continue`: nothing is sent, Upload sends it once the worker is ready."""


def _known_callers_only(access: AccessControl, service: str | None) -> Middleware:
    """Middleware: refuse a request, whatever its path, without a client's token. Quotas are the workers' to keep."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            caller = access.caller(request.headers, Role.CLIENT)
            if service is not None:
                check_service(caller, service)
        except AccessDenied as denied:
            return await respond_and_discard_body(request, refused(denied))
        return await handler(request)

    return answer


@web.middleware
async def _paths_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse requests without a path (`OPTIONS *`, `CONNECT host:port`), which are not for a worker."""
    try:
        return await handler(request)
    except web.HTTPNotFound:
        return refused(Refusal(400, f"{request.method} without a path cannot be sent on: ask for one."))
