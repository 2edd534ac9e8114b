"""Runs one lookup process from start to end: bind, follow the backend, answer over HTTP and DNS, stop."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from aiohttp import web

from registry.backend.source import Source
from registry.catalog_checks.leader import checking_catalog
from registry.chosen_backend import consul_only, open_source
from registry.consul.settings import ConsulSettings
from registry.discovery.directory import Directory
from registry.discovery.leader_watch import watch_leader
from registry.discovery.other_datacenters import DATACENTERS_AT_MOST, OtherDatacenters
from registry.discovery.other_datacenters import FOLLOWED_AT_MOST as FOLLOWED_ELSEWHERE
from registry.dns.server import CONNECTIONS_AT_MOST, serving_dns
from registry.events.event_log import EventLog
from registry.instances.instance import Instance
from registry.lookup.connection import LookupConnection
from registry.lookup.fast_path import FastPath
from registry.lookup.routes import build_app
from registry.lookup.tickets import LookupTickets
from registry.rollout.record_watch import following_rollouts
from registry.runtime.address import server_url
from registry.runtime.aiohttp_logging import quiet_logger
from registry.runtime.connections.open_connections import bounded_connections, connections_at_most
from registry.runtime.exposure import warn_if_exposed
from registry.runtime.listen import bind, port_of
from registry.runtime.logs.access_log import AccessLog
from registry.runtime.processes import open_files
from registry.runtime.processes.sd_notify import NO_SYSTEMD, SystemdNotifier
from registry.runtime.tasks.supervise import supervised
from registry.runtime.tls.server import ServerTls, serving_tls
from registry.runtime.tracing.setup import exporting_traces
from registry.security.access_control import AccessControl, access_control
from registry.security.tickets.key_folder import KeyFolder
from registry.security.tickets.signing_keys import signing
from registry.settings import RegistrySettings
from registry.web.serving import serving_app
from registry.worker_figures.collector import CONNECTIONS_KEPT, FiguresCollector, collecting_figures

if TYPE_CHECKING:
    from registry.runtime.tracing.server_spans import Tracing

logger = logging.getLogger(__name__)

IDLE_S = 75.0
"""A connection is closed after so long without a whole request, as nginx does."""

FILES_ASIDE = 128
"""Files besides those of the connections that are counted: the state file, the list of services, new connections."""

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
    """A lookup service that answers while the context is open. Raises SettingsError for a taken port or a bad file."""
    settings.checks.verification()  # before anything is followed, so that the fault is all that is said
    listener = bind(settings.host, settings.port, shared=settings.shared)
    source = open_source(settings.backend)
    events = EventLog()
    try:
        async with (
            _directory(source, settings, events) as directory,
            _other_datacenters(source, settings, events) as others,
            supervised("watch the leader", partial(watch_leader, source, directory)),
            _asking_consul(settings, directory),
            _tickets(settings) as tickets,
            access_control(settings.access, hosts=[settings.host]) as access,
            serving_tls(settings.tls) as tls,
            _figures(settings, directory) as figures,
            exporting_traces("p2p-lookup") as tracing,
            _serving_http(settings, directory, others, tickets, access, listener, tls, events, figures, tracing),
            serving_dns(directory, source, settings) as dns_port,
        ):
            port = port_of(listener)
            url = server_url(settings.host, port, tls=tls is not None)
            _record_configuration(events, settings, tickets, access, tls)
            yield RunningRegistry(url, port, directory, dns_port)
    finally:
        await source.close()
        listener.close()


def _directory(source: Source, settings: RegistrySettings, events: EventLog) -> Directory:
    return Directory(
        source,
        default=settings.service,
        state=settings.state,
        followed_at_most=settings.followed_at_most,
        observe=events.observe,
    )


def _record_configuration(
    events: EventLog, settings: RegistrySettings, tickets: LookupTickets, access: AccessControl, tls: ServerTls | None
) -> None:
    """Record the start, and from now on every change of tokens, certificate and ticket key."""
    backend = settings.backend
    where = f"{backend.product} {backend.url}"
    events.configured(f"The lookup service has started; it follows {settings.service} at {where}.")
    access.when_tokens_change(lambda: events.configured("The token file has been read again."))
    if tls is not None:
        tls.when_changed(lambda: events.configured("The certificate has been read again."))
    if tickets.signer is not None:
        tickets.signer.on_new_key.append(events.key_rotated)


def _other_datacenters(source: Source, settings: RegistrySettings, events: EventLog) -> OtherDatacenters:
    if settings.failover_datacenters:
        consul_only(settings.backend, "--failover-dc")

    def open_elsewhere(name: str) -> Source:
        return open_source(settings.backend, datacenter=name)

    return OtherDatacenters(source, open_elsewhere, failover=settings.failover_datacenters, observe=events.observe)


@asynccontextmanager
async def _asking_consul(settings: RegistrySettings, directory: Directory) -> AsyncIterator[None]:
    """What only Consul holds: rollouts, and workers in the catalogue, which have to be checked."""
    if not isinstance(settings.backend, ConsulSettings):
        yield
        return
    async with (
        following_rollouts(settings.backend, directory.use_rollouts),
        checking_catalog(settings.backend, settings.checks),
    ):
        yield


@asynccontextmanager
async def _tickets(settings: RegistrySettings) -> AsyncIterator[LookupTickets]:
    """The tickets that go with addresses: none without a folder of keys. Raises SettingsError for an unusable one."""
    if settings.ticket_keys is None:
        yield LookupTickets()
        return
    folder = KeyFolder(settings.ticket_keys)
    consul = consul_only(settings.backend, "--ticket-keys")
    async with signing(folder, consul, lifetime_s=settings.ticket_lifetime_s) as signer:
        yield LookupTickets(signer)


@asynccontextmanager
async def _figures(settings: RegistrySettings, directory: Directory) -> AsyncIterator[FiguresCollector | None]:
    """The figures of the workers, unless they are not wanted."""
    if not settings.figures:
        yield None
        return

    def instances() -> Mapping[str, Sequence[Instance]]:
        return {service.name: service.snapshot.instances for service in directory.services()}

    collecting = collecting_figures(
        instances, trust=settings.checks, token=settings.worker_token, processes=settings.processes
    )
    async with collecting as figures:
        yield figures


@asynccontextmanager
async def _serving_http(
    settings: RegistrySettings,
    directory: Directory,
    others: OtherDatacenters,
    tickets: LookupTickets,
    access: AccessControl,
    listener: socket.socket,
    tls: ServerTls | None,
    events: EventLog,
    figures: FiguresCollector | None,
    tracing: Tracing | None,
) -> AsyncIterator[None]:
    """The HTTP server: the fast path, and aiohttp behind it."""
    at_most = connections_at_most(open_files.limit(), aside=_files_aside(settings))
    fast = FastPath(
        directory,
        tickets,
        access,
        fails_over=bool(others.failover),
        access_log=_access_log(settings),
        tracing=tracing,
    )
    options = {
        "access_log": None,
        "logger": quiet_logger(f"{__name__}.requests"),
        "auto_decompress": False,
        "keepalive_timeout": IDLE_S,
    }
    app = build_app(
        directory, fast, tickets, access, tls, others, events, figures, waiting_at_most=at_most * 3 // 4, ui=settings.ui
    )
    async with bounded_connections(at_most=at_most) as connections:

        def make(http: web.Server) -> LookupConnection:
            return LookupConnection(http, fast, connections, **options)

        async with serving_app(app, listener, connections, make, tls=tls, closing_s=CLOSING_S):
            yield


def _access_log(settings: RegistrySettings) -> AccessLog | None:
    return None if settings.log.access_sample is None else AccessLog(settings.log.access_sample)


def _files_aside(settings: RegistrySettings) -> int:
    """Files that lookups must not use up: connections to Consul and of DNS, and what the process itself needs."""
    dns = CONNECTIONS_AT_MOST if settings.dns_port is not None else 0
    elsewhere = DATACENTERS_AT_MOST * (FOLLOWED_ELSEWHERE + 1)
    figures = CONNECTIONS_KEPT if settings.figures else 0
    return settings.followed_at_most + elsewhere + dns + figures + FILES_ASIDE


async def serve(settings: RegistrySettings, stop: asyncio.Event, *, notifier: SystemdNotifier = NO_SYSTEMD) -> None:
    """Answer lookups until `stop` is set; systemd, where it started the process, is told so."""
    async with running(settings) as registry:
        logger.info(
            "Lookup service on %s, following %s at %s %s.",
            registry.url,
            settings.service,
            settings.backend.product,
            settings.backend.url,
        )
        if not settings.shared:  # else the process that runs them all has warned
            warn_if_exposed(settings.host, tls=settings.tls is not None, tokens=settings.access.tokens is not None)
        if registry.dns_port is not None:
            logger.info("DNS for .consul on port %d, UDP and TCP.", registry.dns_port)
            if settings.access.tokens is not None:
                logger.warning(
                    "DNS carries no tokens: everybody who reaches port %d learns workers' addresses.", registry.dns_port
                )
        notifier.ready()
        async with supervised("feed systemd's watchdog", notifier.feed_watchdog):
            await stop.wait()
        notifier.stopping()
        logger.info("Stopping.")
