"""Runs one lookup process from start to end: bind, follow Consul, answer over HTTP and DNS, stop."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from aiohttp import web

from registry.consul.catalog import FOLLOW_TIMEOUT_S, Catalog
from registry.discovery.directory import Directory
from registry.discovery.leader_watch import watch_leader
from registry.dns.server import serving_dns
from registry.lookup.fast_path import FastPath, protocol_factory
from registry.lookup.routes import build_app
from registry.runtime.address import host_port
from registry.runtime.aiohttp_logging import quiet_logger
from registry.runtime.listen import bind, port_of
from registry.runtime.supervise import supervised
from registry.settings import RegistrySettings

logger = logging.getLogger(__name__)

IDLE_S = 75.0
"""A connection is closed after so long without a whole request, as nginx does."""

CLOSING_S = 1.0
"""How long requests in flight, long polls among them, may take when the process stops."""


@dataclass(frozen=True, slots=True)
class RunningRegistry:
    """A lookup service that answers at `url`, and as DNS on `dns_port` unless that is None."""

    url: str
    port: int
    directory: Directory
    dns_port: int | None = None


@asynccontextmanager
async def running(settings: RegistrySettings) -> AsyncIterator[RunningRegistry]:
    """A lookup service that answers while the context is open. Raises SettingsError for a taken port."""
    listener = bind(settings.host, settings.port, shared=settings.shared)
    catalog = Catalog(settings.consul, timeout_s=FOLLOW_TIMEOUT_S)
    try:
        async with (
            _directory(catalog, settings) as directory,
            supervised("watch the leader", partial(watch_leader, catalog, directory)),
            _serving_http(directory, listener),
            serving_dns(directory, catalog, settings) as dns_port,
        ):
            port = port_of(listener)
            yield RunningRegistry(f"http://{host_port(settings.host, port)}", port, directory, dns_port)
    finally:
        await catalog.close()
        listener.close()


def _directory(catalog: Catalog, settings: RegistrySettings) -> Directory:
    return Directory(
        catalog, default=settings.service, state=settings.state, followed_at_most=settings.followed_at_most
    )


@asynccontextmanager
async def _serving_http(directory: Directory, listener: socket.socket) -> AsyncIterator[None]:
    """The HTTP server: the fast path, and aiohttp behind it."""
    fast = FastPath(directory)
    requests_log = quiet_logger(f"{__name__}.requests")
    app = build_app(directory, fast)
    runner = web.AppRunner(app, access_log=None, logger=requests_log, shutdown_timeout=CLOSING_S)
    await runner.setup()
    assert runner.server is not None
    factory = protocol_factory(
        runner.server, fast, access_log=None, logger=requests_log, auto_decompress=False, keepalive_timeout=IDLE_S
    )
    server = await asyncio.get_running_loop().create_server(factory, sock=listener)
    try:
        yield
    finally:
        server.close()
        await runner.cleanup()


async def serve(settings: RegistrySettings, stop: asyncio.Event) -> None:
    """Answer lookups until `stop` is set."""
    async with running(settings) as registry:
        logger.info(
            "Lookup service on %s, following %s at Consul %s.",
            registry.url,
            settings.service,
            settings.consul.url,
        )
        if registry.dns_port is not None:
            logger.info("DNS for .consul on port %d, UDP and TCP.", registry.dns_port)
        await stop.wait()
        logger.info("Stopping.")
