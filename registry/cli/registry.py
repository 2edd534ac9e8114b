"""The command `p2p registry`: the lookup service, in one process or in several."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from registry.cli.options import (
    CheckCa,
    CheckCert,
    CheckKey,
    DnsPort,
    FailoverDatacenters,
    NoFigures,
    NoUi,
    Processes,
    State,
    TicketKeys,
    TicketLifetime,
)
from registry.runtime.cli_options import (
    AccessLogOption,
    AccessLogSample,
    AllowedHosts,
    CorsOrigins,
    Discovery,
    Host,
    LogFormatOption,
    LogLevelOption,
    LookupConsul,
    Port,
    TlsCert,
    TlsClientCa,
    TlsKey,
    TokenFile,
    log_settings,
    service_option,
)
from registry.runtime.logs.settings import LogFormat, LogLevel

if TYPE_CHECKING:
    from registry.runtime.processes.sd_notify import SystemdNotifier
    from registry.settings import RegistrySettings


def registry(
    host: Host = "127.0.0.1",
    port: Port = 12480,
    service: Annotated[str, service_option("The service that `/` and `/next` answer for.")] = "classify",
    state: State = None,
    dns_port: DnsPort = None,
    processes: Processes = 1,
    failover_dc: FailoverDatacenters = "",
    tokens: TokenFile = None,
    cors_origin: CorsOrigins = None,
    allowed_host: AllowedHosts = None,
    shared: Annotated[bool, typer.Option("--shared", hidden=True)] = False,
    followed_at_most: Annotated[int | None, typer.Option("--followed-at-most", min=1, hidden=True)] = None,
    sharing: Annotated[int, typer.Option("--sharing", min=1, hidden=True)] = 1,
    ticket_keys: TicketKeys = None,
    ticket_lifetime: TicketLifetime = 60,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    tls_client_ca: TlsClientCa = None,
    check_ca: CheckCa = None,
    check_cert: CheckCert = None,
    check_key: CheckKey = None,
    no_ui: NoUi = False,
    no_figures: NoFigures = False,
    consul: LookupConsul = None,
    discovery: Discovery = None,
    log_format: LogFormatOption = LogFormat.TEXT,
    log_level: LogLevelOption = LogLevel.INFO,
    access_log: AccessLogOption = False,
    access_log_sample: AccessLogSample = 1.0,
) -> None:
    """Answer "who is next?": the lookup service.

    Follows the services in Consul and hands their workers out in rotation:

    \b
      curl localhost:12480         the next worker's port
      curl localhost:12480/next    the next worker's host:port
    """
    from registry.chosen_backend import backend_settings
    from registry.discovery.following_limit import FOLLOWED_AT_MOST
    from registry.runtime import names
    from registry.runtime.errors import RegistryError
    from registry.runtime.processes.lifecycle import run
    from registry.runtime.processes.sd_notify import SystemdNotifier
    from registry.runtime.tls.server import TlsFiles
    from registry.runtime.tls.trust import TrustFiles
    from registry.security.access_settings import AccessSettings
    from registry.server import serve
    from registry.settings import RegistrySettings

    log = log_settings(log_format, log_level, access_log, access_log_sample)

    async def main(stop: asyncio.Event) -> None:
        settings = RegistrySettings(
            backend=backend_settings(os.environ, consul=consul, discovery=discovery),
            host=host,
            port=port,
            service=service,
            state=_state_file(state, port),
            shared=shared,
            ui=not no_ui,
            figures=not no_figures,
            worker_token=os.environ.get("P2P_TOKEN") or None,
            processes=max(processes, sharing),
            dns_port=dns_port,
            tls=TlsFiles.from_flags(tls_cert, tls_key, tls_client_ca),
            followed_at_most=followed_at_most or max(1, FOLLOWED_AT_MOST // processes),
            failover_datacenters=names.datacenters(failover_dc),
            ticket_keys=ticket_keys,
            ticket_lifetime_s=ticket_lifetime,
            access=AccessSettings(tokens, tuple(cors_origin or ()), tuple(allowed_host or ())),
            checks=TrustFiles(check_ca, check_cert, check_key),
            log=log,
        )
        notifier = SystemdNotifier.from_environment(os.environ)
        if processes == 1:
            await serve(settings, stop, notifier=notifier)
        else:
            await _serve_in(processes, settings, stop, notifier)

    raise typer.Exit(run(main, failures=(RegistryError,), log=log))


async def _serve_in(processes: int, settings: RegistrySettings, stop: asyncio.Event, notifier: SystemdNotifier) -> None:
    """Run as many processes of this command with these settings."""
    from registry.dns.server import held_for_processes
    from registry.multiprocess import check_files, keep_running
    from registry.runtime.exposure import warn_if_exposed
    from registry.runtime.processes.sd_notify import without_systemd

    check_files(settings)
    command = [
        sys.executable,
        "-m",
        "registry",
        "--shared",
        "--processes",
        "1",
        "--sharing",
        str(processes),
        *settings.as_arguments(),
    ]
    warn_if_exposed(settings.host, tls=settings.tls is not None, tokens=settings.access.tokens is not None)
    environ = without_systemd(os.environ) | settings.backend.as_environment()
    with held_for_processes(settings.host, settings.dns_port) as dns:
        await keep_running(
            [*command, *dns],
            environ=environ,
            host=settings.host,
            port=settings.port,
            count=processes,
            stop=stop,
            notifier=notifier,
        )


def _state_file(flag: str | None, port: int) -> Path | None:
    if flag is not None:
        return Path(flag) if flag else None
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "p2p-serving" / f"lookup-{port}.json"
