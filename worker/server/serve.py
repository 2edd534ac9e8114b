"""Composes a worker and runs it: bind, answer, load, warm, register, serve, leave, drain, close.

Each model has a port of its own, because `POST /` means the model of the service that was looked up; all other
paths name their model, and every port answers for all models.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from functools import partial

from aiohttp import web

from registry.backend.checks import Checks
from registry.chosen_backend import check_place, consul_only
from registry.instances.instance import Instance
from registry.runtime.aiohttp_logging import quiet_logger
from registry.runtime.connections.open_connections import bounded_connections, connections_at_most
from registry.runtime.connections.serving import serving
from registry.runtime.exposure import warn_if_exposed
from registry.runtime.listen import bind
from registry.runtime.logs.access_log import AccessLog
from registry.runtime.processes import open_files
from registry.runtime.processes.sd_notify import NO_SYSTEMD, SystemdNotifier
from registry.runtime.tasks.race import finishes_first
from registry.runtime.tasks.supervise import cancel_all, start_supervised, supervised
from registry.runtime.tls.server import ServerTls, serving_tls
from registry.runtime.tracing.setup import exporting_traces
from registry.security.access_control import access_control
from registry.security.tickets.key_ring import checking_tickets
from worker.advertising.advertised import Advertised, find_advertised
from worker.advertising.refuse_loopback import refuse_loopback_early
from worker.batching.core_scheduler import CoreScheduler
from worker.fast_path.connection import connection_factory
from worker.registration import Registration
from worker.repository.loader import running_threads
from worker.repository.repository import ModelRepository
from worker.repository.request_epochs import RequestEpochs
from worker.repository.served_model import ServedModel
from worker.server.app import FAST_PATH_HANDLER, SharedState, build_app
from worker.server.loading import load_models
from worker.server.model_endpoint import ModelEndpoint, health_url, instance_of
from worker.server.served_models import served_models
from worker.settings import WorkerSettings
from worker.system.cpu import usable_cores
from worker.system.memory import keep_freed_memory, release_memory, return_freed_memory
from worker.system.scheduling import use_batch_scheduling
from worker.telemetry.metrics import WorkerMetrics
from worker.ui.routes import PAGE_PATHS
from worker.web.access.port_access import OPEN, PortAccess
from worker.web.access.ticket_gate import RequiredTickets
from worker.web.body_budget import BodyBudget
from worker.web.endpoint_state import EndpointState

logger = logging.getLogger(__name__)

IDLE_S = 75.0
"""A connection without a request, or with one whose headers are incomplete, is closed after this time."""

FILES_ASIDE = 128
"""Files besides those of connections: of models and of their trial loads, connections to Consul, new connections."""


@dataclass(frozen=True, slots=True)
class RunningWorker:
    """A worker that answers and is registered; `instance`, `state` and `store` are those of its first model."""

    instances: Sequence[Instance]
    endpoints: Sequence[ModelEndpoint]

    @property
    def instance(self) -> Instance:
        """The first model's registration, as it was at the start."""
        return self.instances[0]

    @property
    def state(self) -> EndpointState:
        """The state of the first model's port."""
        return self.endpoints[0].state

    @property
    def store(self) -> ServedModel:
        """The first model's versions."""
        return self.endpoints[0].store

    @property
    def moving(self) -> bool:
        """Whether every model gets its predictions done."""
        return all(endpoint.store.moving for endpoint in self.endpoints)


async def serve(settings: WorkerSettings, stop: asyncio.Event, *, notifier: SystemdNotifier = NO_SYSTEMD) -> None:
    """Serve until `stop` is set, then leave without a lost request; before it is ready, end at once.

    systemd, where it started the worker, is told so, and its watchdog is fed while predictions get done.

    Raises ModelError, SettingsError or ConsulRefused when it cannot begin.
    """
    keep_freed_memory()
    use_batch_scheduling()
    ready = asyncio.Event()
    if not await finishes_first(_serve(settings, stop, ready, notifier), _stopped_before(ready, stop)):
        logger.info("A signal came before the worker was ready.")
    logger.info("Stopped.")


async def _serve(
    settings: WorkerSettings, stop: asyncio.Event, ready: asyncio.Event, notifier: SystemdNotifier
) -> None:
    """Load, register, set `ready`, and leave when `stop` is set."""
    async with running(settings) as worker:
        ready.set()
        for instance in worker.instances:
            logger.info("Serving %s on %s.", instance.service, instance.origin)
        warn_if_exposed(
            settings.host,
            tls=settings.tls is not None,
            tokens=settings.access.tokens is not None or settings.require_ticket,
        )
        notifier.ready()
        async with supervised("feed systemd's watchdog", partial(notifier.feed_watchdog, lambda: worker.moving)):
            await stop.wait()
        notifier.stopping()
        logger.info("Leaving the rotation; finishing what is in flight.")


async def _stopped_before(ready: asyncio.Event, stop: asyncio.Event) -> None:
    """Return when `stop` is set while `ready` is not; once `ready` is set, never."""
    await stop.wait()
    if ready.is_set():
        await asyncio.Event().wait()


@asynccontextmanager
async def running(settings: WorkerSettings) -> AsyncIterator[RunningWorker]:
    """A worker, registered on entry; on exit it has left, drained and closed."""
    check_place(settings.backend, settings.register)
    most_bytes = max(settings.body_memory_bytes, settings.max_body_bytes)
    body_budget = BodyBudget(most_bytes=most_bytes, total_s=settings.deadline_s)
    at_most = connections_at_most(open_files.limit(), aside=FILES_ASIDE)
    scheduler = CoreScheduler(usable_cores())
    async with AsyncExitStack() as stack:
        connections = await stack.enter_async_context(bounded_connections(at_most=at_most))
        tls = await stack.enter_async_context(serving_tls(settings.tls))
        tracing = await stack.enter_async_context(exporting_traces("p2p-worker"))
        shared = SharedState(WorkerMetrics(), RequestEpochs(), body_budget, connections, _access_log(settings), tracing)
        if tls is not None:
            shared.metrics.watch_certificate(tls.expires_at_s)
        threads = stack.enter_context(running_threads(decoding=settings.decode_threads))
        await stack.enter_async_context(supervised("return freed memory", return_freed_memory))
        endpoints: list[ModelEndpoint] = []
        listeners = stack.enter_context(_listening(settings))
        served = served_models(settings, shared, threads, scheduler)
        for number, (store, listener) in enumerate(zip(served, listeners, strict=True)):
            await stack.enter_async_context(store)
            endpoints.append(ModelEndpoint(number, store, listener, EndpointState(boot=uuid.uuid4().hex)))
        required = None
        if settings.require_ticket:
            consul = consul_only(settings.backend, "--require-ticket")
            required = RequiredTickets(await stack.enter_async_context(checking_tickets(consul)))
        names = [settings.host, "" if settings.advertise is None else settings.advertise.name]
        control = await stack.enter_async_context(
            access_control(settings.access, hosts=names, places=settings.queue_most)
        )
        for endpoint in endpoints:
            models = ModelRepository([endpoint.store for endpoint in endpoints], default=endpoint.store.name)
            tickets = required.gate(models) if required is not None else None
            open_paths = OPEN | PAGE_PATHS if settings.ui else OPEN
            access = PortAccess(control, service=models.default, tickets=tickets, open_paths=open_paths)
            await stack.enter_async_context(_answering(settings, endpoint, models, shared, access, tls))
        if settings.advertise is None and not settings.allow_loopback:
            await refuse_loopback_early(settings.host, settings.backend)
        await load_models(endpoints)
        await asyncio.get_running_loop().run_in_executor(threads.loading, release_memory)
        for endpoint in endpoints:
            endpoint.state.ready = True
        instances = await stack.enter_async_context(_registered(settings, endpoints, required))
        yield RunningWorker(instances, endpoints)


def _access_log(settings: WorkerSettings) -> AccessLog | None:
    return None if settings.access_log_sample is None else AccessLog(settings.access_log_sample)


@contextmanager
def _listening(settings: WorkerSettings) -> Iterator[Sequence[socket.socket]]:
    """A listening socket for each model: the first on the configured port, the others on the ports after it."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(closing(bind(settings.host, settings.port + number if settings.port else 0)))
            for number in range(len(settings.models))
        ]


@asynccontextmanager
async def _answering(
    settings: WorkerSettings,
    endpoint: ModelEndpoint,
    models: ModelRepository,
    shared: SharedState,
    access: PortAccess,
    tls: ServerTls | None,
) -> AsyncIterator[None]:
    """The HTTP server of one port; closing finishes what is in flight."""
    app = build_app(settings, models, endpoint.state, shared, access)
    # A client that hangs up cancels its handler, and so its place in the queue.
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=settings.finish_s)
    make = connection_factory(
        app[FAST_PATH_HANDLER],
        shared.connections,
        access_log=None,
        logger=quiet_logger(f"{__name__}.requests"),
        keepalive_timeout=IDLE_S,
    )
    # The server's end makes aiohttp discard the rest of a body that is still arriving.
    bodies_arrived = partial(shared.body_budget.finished, within_s=settings.finish_s)
    async with serving(runner, endpoint.listener, shared.connections, make, tls=tls, before_closing=bodies_arrived):
        yield


@asynccontextmanager
async def _registered(
    settings: WorkerSettings, endpoints: Sequence[ModelEndpoint], required: RequiredTickets | None
) -> AsyncIterator[Sequence[Instance]]:
    """The registrations of all models; at the end all leave the rotation together, and the drain grace passes."""
    advertised = await find_advertised(
        settings.advertise, host=settings.host, port=settings.port, backend=settings.backend
    )
    if required is not None:
        required.instance_ids.update(instance_of(settings, each, advertised).id for each in endpoints)
    async with AsyncExitStack() as stack:
        registrations = [
            await stack.enter_async_context(_registration(settings, endpoint, advertised)) for endpoint in endpoints
        ]
        announcing = [
            start_supervised(
                f"announce versions of {endpoint.store.name}",
                partial(_announce_versions, settings, endpoint, advertised, registration),
            )
            for endpoint, registration in zip(endpoints, registrations, strict=True)
        ]
        try:
            yield [instance_of(settings, endpoint, advertised) for endpoint in endpoints]
        finally:
            await cancel_all(*announcing)
            for endpoint in endpoints:
                endpoint.state.leaving = True
            await asyncio.gather(*(registration.leave() for registration in registrations))
            # Requests of clients that looked this worker up a moment ago are still on their way.
            await asyncio.sleep(settings.drain_s)


def _registration(settings: WorkerSettings, endpoint: ModelEndpoint, advertised: Advertised) -> Registration:
    """The registration of one model, with its own checks: a model that fails takes no other out of rotation."""
    instance = instance_of(settings, endpoint, advertised)
    checks = Checks(health_url=health_url(settings, instance), tls_server_name=settings.agent_check_name)

    async def fit() -> bool:
        return endpoint.store.fit

    return Registration(
        settings.backend,
        instance,
        checks,
        place=settings.register,
        moving=lambda: endpoint.store.fit,
        fit=fit,
        allow_loopback=settings.allow_loopback,
    )


async def _announce_versions(
    settings: WorkerSettings, endpoint: ModelEndpoint, advertised: Advertised, registration: Registration
) -> None:
    """Update the registration whenever other versions are served, are being loaded, or have failed."""
    known = registration.instance
    while True:
        change = endpoint.store.next_change
        serving = instance_of(settings, endpoint, advertised)
        if serving != known:
            await registration.update(serving)
            known = serving
        await change.wait()
