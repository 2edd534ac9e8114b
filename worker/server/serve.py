"""A worker's life, step by step: bind, answer, load, warm, register, serve, leave, drain, close.

Each model has a port of its own, because `POST /` means the model of the service that was looked up; all other
paths name their model, and every port answers for all of them.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass

from aiohttp import web

from registry.consul.catalog import Checks
from registry.consul.instance import Instance, stable_id, version_tag
from registry.runtime.aiohttp_logging import quiet_logger
from registry.runtime.listen import BACKLOG, bind, port_of
from worker.batching.core_scheduler import Turns
from worker.fast_path.connection import roads
from worker.registration import Registration, advertised
from worker.repository.loader import running_threads
from worker.repository.model_versions import Store
from worker.repository.repository import Models
from worker.repository.request_epochs import Requests
from worker.server.app import PLAIN, Shared, build_app
from worker.settings import WorkerSettings
from worker.system.cpu import usable_cores
from worker.system.memory import give_back
from worker.system.process import keep_freed_memory, open_many_files, run_in_long_stretches
from worker.telemetry.metrics import Numbers
from worker.web.body_budget import Receiving
from worker.web.endpoint_state import Presence

logger = logging.getLogger(__name__)

IDLE_S = 75.0
"""A connection without a request, or with one whose headers do not end, is closed after this."""


@dataclass(frozen=True, slots=True)
class Face:
    """What one model of a worker shows: a port, a boot id, a place in the rotation of its service."""

    store: Store
    listener: socket.socket
    presence: Presence

    @property
    def port(self) -> int:
        """The port that was really bound."""
        return port_of(self.listener)


@dataclass(frozen=True, slots=True)
class RunningWorker:
    """A worker that answers and is registered; `instance`, `presence` and `store` are of its first model."""

    instances: Sequence[Instance]
    faces: Sequence[Face]

    @property
    def instance(self) -> Instance:
        """As the first model was registered at the start."""
        return self.instances[0]

    @property
    def presence(self) -> Presence:
        """What the outside may know of the first model's port."""
        return self.faces[0].presence

    @property
    def store(self) -> Store:
        """The first model's versions."""
        return self.faces[0].store


async def serve(settings: WorkerSettings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set, then leave without a lost request.

    Raises ModelError, SettingsError or ConsulRefused when it cannot begin.
    """
    keep_freed_memory()
    open_many_files()
    run_in_long_stretches()
    async with running(settings) as worker:
        for instance in worker.instances:
            logger.info("Serving %s on http://%s.", instance.service, instance.address)
        await stop.wait()
        logger.info("Leaving the rotation; finishing what is in flight.")
    logger.info("Stopped.")


@asynccontextmanager
async def running(settings: WorkerSettings) -> AsyncIterator[RunningWorker]:
    """A worker, registered on entry; on exit it has left, drained and closed."""
    most_bytes = max(settings.body_memory_bytes, settings.max_body_bytes)
    receiving = Receiving(most_bytes=most_bytes, total_s=settings.deadline_s)
    shared, turns = Shared(Numbers(), Requests(), receiving), Turns(usable_cores())
    async with AsyncExitStack() as stack:
        threads = stack.enter_context(running_threads(decoding=settings.decode_threads))
        faces: list[Face] = []
        for served, listener in zip(settings.models, stack.enter_context(_listening(settings)), strict=True):
            store = Store(
                served, settings, threads=threads, turns=turns, numbers=shared.numbers, requests=shared.requests
            )
            await stack.enter_async_context(store)
            faces.append(Face(store, listener, Presence(boot=uuid.uuid4().hex)))
        for face in faces:
            models = Models([face.store for face in faces], default=face.store.name)
            await stack.enter_async_context(_answering(settings, face, models, shared))
        for face in faces:
            await face.store.load()
        await asyncio.get_running_loop().run_in_executor(threads.loading, give_back)
        for face in faces:
            face.presence.ready = True
        instances = await stack.enter_async_context(_registered(settings, faces))
        yield RunningWorker(instances, faces)


@contextmanager
def _listening(settings: WorkerSettings) -> Iterator[Sequence[socket.socket]]:
    """A port for each model: the first is the one that was asked for, the others are the numbers after it."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(closing(bind(settings.host, settings.port + number if settings.port else 0)))
            for number in range(len(settings.models))
        ]


@asynccontextmanager
async def _answering(settings: WorkerSettings, face: Face, models: Models, shared: Shared) -> AsyncIterator[None]:
    """The HTTP server of one port; closing finishes what is in flight."""
    app = build_app(settings, models, face.presence, shared)
    # A client that hangs up cancels its handler, and so its place in the queue.
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=settings.finish_s)
    await runner.setup()
    assert runner.server is not None  # it is set up
    connections = roads(
        runner.server,
        app[PLAIN],
        access_log=None,
        logger=quiet_logger(f"{__name__}.requests"),
        keepalive_timeout=IDLE_S,
    )
    server = await asyncio.get_running_loop().create_server(connections, sock=face.listener, backlog=BACKLOG)
    try:
        yield
    finally:
        server.close()
        # From here on aiohttp would throw away what still comes of a body.
        await shared.receiving.finished(within_s=settings.finish_s)
        await runner.cleanup()


@asynccontextmanager
async def _registered(settings: WorkerSettings, faces: Sequence[Face]) -> AsyncIterator[Sequence[Instance]]:
    """The places in the rotations; all are left together, and the worker goes on answering for the drain grace."""
    host = settings.advertise or await advertised(settings.host, settings.consul)
    async with AsyncExitStack() as stack:
        places = [await stack.enter_async_context(_place(settings, face, host)) for face in faces]
        announcing = [
            asyncio.create_task(_announce(settings, face, host, place), name=f"announce {face.store.name}")
            for face, place in zip(faces, places, strict=True)
        ]
        try:
            yield [instance_of(settings, face, host) for face in faces]
        finally:
            for task in announcing:
                task.cancel()
            await asyncio.gather(*announcing, return_exceptions=True)
            for face in faces:
                face.presence.leaving = True
            await asyncio.gather(*(place.leave() for place in places))
            # Whoever looked this worker up a moment ago is still on the way.
            await asyncio.sleep(settings.drain_s)


def _place(settings: WorkerSettings, face: Face, host: str) -> Registration:
    """The registration of one model, with checks of its own: what ails one takes no other out."""
    instance = instance_of(settings, face, host)
    checks = Checks(health_url=f"http://{instance.address}/healthz?boot={instance.boot}")

    async def fit() -> bool:
        return face.store.moving

    return Registration(settings.consul, instance, checks, moving=lambda: face.store.moving, fit=fit)


async def _announce(settings: WorkerSettings, face: Face, host: str, place: Registration) -> None:
    """Tell Consul whenever other versions serve."""
    known = place.instance
    while True:
        change = face.store.next_change
        serving = instance_of(settings, face, host)
        if serving != known:
            await place.update(serving)
            known = serving
        await change.wait()


def instance_of(settings: WorkerSettings, face: Face, host: str) -> Instance:
    """One model's worker as it is registered: its version is the default's, and a tag names each that serves."""
    store, port = face.store, face.port
    return Instance(
        service=store.name,
        id=stable_id(store.name, host, port),
        host=host,
        port=port,
        weight=settings.weight,
        version=store.current.model.version,
        tags=tuple(version_tag(version) for version in store.loaded),
        boot=face.presence.boot,
        meta={"model": store.name, "protocol": "article"},
    )
