"""A worker's life, step by step: bind, load, warm, answer, register, serve, leave, drain, close."""

from __future__ import annotations

import asyncio
import logging
import socket
import uuid
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from aiohttp import web

from registry.catalog import Checks
from registry.instance import Instance
from registry.listen import bind, port_of
from registry.malformed import quiet_logger
from worker.app import Presence, build_app
from worker.metrics import Numbers
from worker.model import Model
from worker.models import Models
from worker.process import keep_freed_memory, open_many_files
from worker.receiving import RECEIVING
from worker.registration import Registration, advertised
from worker.settings import WorkerSettings
from worker.store import Store

logger = logging.getLogger(__name__)

IDLE_S = 75.0
"""A connection without a request, or with one whose headers do not end, is closed after this."""


@dataclass(frozen=True, slots=True)
class RunningWorker:
    """A worker that answers and is registered."""

    instance: Instance
    presence: Presence
    store: Store


async def serve(settings: WorkerSettings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set, then leave without a lost request.

    Raises ModelError, SettingsError or ConsulRefused when it cannot begin.
    """
    keep_freed_memory()
    open_many_files()
    async with running(settings) as worker:
        logger.info("Serving on http://%s.", worker.instance.address)
        await stop.wait()
        logger.info("Leaving the rotation; finishing what is in flight.")
    logger.info("Stopped.")


@asynccontextmanager
async def running(settings: WorkerSettings) -> AsyncIterator[RunningWorker]:
    """A worker, registered on entry; on exit it has left, drained and closed."""
    listener = bind(settings.host, settings.port)
    presence = Presence(boot=uuid.uuid4().hex)
    numbers = Numbers()
    try:
        with _decoding(settings) as decoding:
            async with (
                Store(settings, decoding=decoding, numbers=numbers) as store,
                _answering(settings, listener, Models([store]), presence, numbers),
                _registered(settings, listener, store, presence) as instance,
            ):
                yield RunningWorker(instance, presence, store)
    finally:
        listener.close()


@contextmanager
def _decoding(settings: WorkerSettings) -> Iterator[Executor]:
    """The threads that all images are decoded in."""
    threads = ThreadPoolExecutor(settings.decode_threads, thread_name_prefix="decode")
    try:
        yield threads
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


@asynccontextmanager
async def _answering(
    settings: WorkerSettings,
    listener: socket.socket,
    models: Models,
    presence: Presence,
    numbers: Numbers,
) -> AsyncIterator[None]:
    """The HTTP server; closing finishes what is in flight."""
    app = build_app(settings, models, presence, numbers)
    # A client that hangs up cancels its handler, and so its place in the queue.
    runner = web.AppRunner(
        app,
        access_log=None,
        logger=quiet_logger(f"{__name__}.requests"),
        handler_cancellation=True,
        shutdown_timeout=settings.finish_s,
        keepalive_timeout=IDLE_S,
    )
    await runner.setup()
    site = web.SockSite(runner, listener)
    await site.start()
    presence.ready = True
    try:
        yield
    finally:
        await site.stop()
        # From here on aiohttp would throw away what still comes of a body.
        await app[RECEIVING].finished(within_s=settings.finish_s)
        await runner.cleanup()


@asynccontextmanager
async def _registered(
    settings: WorkerSettings,
    listener: socket.socket,
    store: Store,
    presence: Presence,
) -> AsyncIterator[Instance]:
    """The place in the rotation; leaving it, the worker goes on answering for the drain grace."""
    instance = await _instance(settings, port_of(listener), store.current.model, presence.boot)
    checks = Checks(health_url=f"http://{instance.address}/healthz?boot={presence.boot}")

    def moving() -> bool:
        return store.current.batcher.moving

    async def fit() -> bool:
        return moving()

    async with Registration(settings.consul, instance, checks, moving=moving, fit=fit) as place:
        try:
            yield instance
        finally:
            presence.leaving = True
            await place.leave()
            # Whoever looked this worker up a moment ago is still on the way.
            await asyncio.sleep(settings.drain_s)


async def _instance(settings: WorkerSettings, port: int, model: Model, boot: str) -> Instance:
    host = settings.advertise or await advertised(settings.host, settings.consul)
    return Instance(
        service=settings.service,
        id=f"{settings.service}-{host}-{port}",
        host=host,
        port=port,
        weight=settings.weight,
        version=model.version,
        boot=boot,
        meta={"model": model.name, "protocol": "article"},
    )
