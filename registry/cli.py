"""The commands `p2p registry`, `p2p proxy` and `p2p agent`: they parse and call; they import the rest when called."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
    ca_option,
    cert_option,
    host_option,
    key_option,
    log_settings,
    service_option,
    ticket_keys_option,
)
from registry.runtime.logs.settings import LogFormat, LogLevel

if TYPE_CHECKING:
    from registry.runtime.processes.sd_notify import SystemdNotifier
    from registry.settings import RegistrySettings

State = Annotated[
    str | None,
    typer.Option(
        "--state",
        metavar="FILE",
        help="Keeps the last good set, for a start while Consul is away; '' keeps nothing.  "
        "[default: ~/.local/state/p2p-serving/lookup-PORT.json]",
    ),
]
DnsPort = Annotated[
    int | None,
    typer.Option(
        "--dns-port",
        min=0,
        max=65535,
        help="Answer as DNS, too: SRV and addresses of NAME.service.consul.  [default: off]",
    ),
]
TicketKeys = Annotated[
    Path | None,
    ticket_keys_option(
        "Sign tickets for workers that require them, with the keys in this folder; a first one is made.  "
        "[default: no tickets]"
    ),
]
TicketLifetime = Annotated[
    int, typer.Option("--ticket-lifetime", min=5, max=3600, help="Seconds for which a ticket can be used.")
]
FailoverDatacenters = Annotated[
    str,
    typer.Option(
        "--failover-dc",
        metavar="DC,DC",
        help="Datacenters in which a service is looked for, in this order, while no instance is healthy here.",
    ),
]
CheckCa = Annotated[
    Path | None,
    ca_option("--check-ca", signed="the certificates of the workers that are checked and asked for metrics"),
]
CheckCert = Annotated[Path | None, cert_option("--check-cert", of="servers")]
CheckKey = Annotated[Path | None, key_option("--check-key", cert="--check-cert")]
NoUi = Annotated[bool, typer.Option("--no-ui", help="No web page at /ui/; browsers get the port, too.")]
NoFigures = Annotated[
    bool,
    typer.Option("--no-figures", help="Do not ask workers for their metrics: /summary and the page show no rates."),
]
Processes = Annotated[int, typer.Option(min=1, help="Processes that share the port; one that dies is replaced.")]


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


def proxy(
    host: Host = "127.0.0.1",
    port: Port = 12479,
    workers: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Fixed workers, such as 20001,10.0.0.5:8080 or https://gpu1:8443; --service and --consul are not used "
            "then.",
        ),
    ] = None,
    service: Annotated[str, service_option("The service whose workers Consul is asked for.")] = "classify",
    tokens: TokenFile = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    tls_client_ca: TlsClientCa = None,
    upstream_ca: Annotated[Path | None, ca_option("--upstream-ca", signed="the workers' certificates")] = None,
    upstream_cert: Annotated[Path | None, cert_option("--upstream-cert", of="workers")] = None,
    upstream_key: Annotated[Path | None, key_option("--upstream-key", cert="--upstream-cert")] = None,
    consul: LookupConsul = None,
    discovery: Discovery = None,
    log_format: LogFormatOption = LogFormat.TEXT,
    log_level: LogLevelOption = LogLevel.INFO,
    access_log: AccessLogOption = False,
    access_log_sample: AccessLogSample = 1.0,
) -> None:
    """Forward every request to the next worker.

    For clients that cannot reach workers themselves.

    All images pass through it; where clients reach the workers, `p2p registry` serves them better.
    """
    from registry.chosen_backend import backend_settings
    from registry.proxy.server import ProxySettings, serve
    from registry.proxy.upstreams import parse_workers
    from registry.runtime.errors import RegistryError
    from registry.runtime.processes.lifecycle import run
    from registry.runtime.tls.server import TlsFiles
    from registry.runtime.tls.trust import TrustFiles
    from registry.security.access_settings import AccessSettings

    log = log_settings(log_format, log_level, access_log, access_log_sample)

    def settings() -> ProxySettings:
        return ProxySettings(
            backend=backend_settings(os.environ, consul=consul, discovery=discovery),
            host=host,
            port=port,
            workers=() if workers is None else parse_workers(workers),
            service=service,
            access=AccessSettings(tokens),
            tls=TlsFiles.from_flags(tls_cert, tls_key, tls_client_ca),
            upstream=TrustFiles(upstream_ca, upstream_cert, upstream_key),
            access_log_sample=log.access_sample,
        )

    raise typer.Exit(run(lambda stop: serve(settings(), stop), failures=(RegistryError,), log=log))


def agent(
    host: Annotated[str, host_option("Loopback address to listen on: it has no access control.")] = "127.0.0.1",
    port: Port = 8500,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    tls_client_ca: TlsClientCa = None,
    check_ca: CheckCa = None,
    check_cert: CheckCert = None,
    check_key: CheckKey = None,
    log_format: LogFormatOption = LogFormat.TEXT,
    log_level: LogLevelOption = LogLevel.INFO,
) -> None:
    """An in-memory Consul agent for one machine.

    For trying things out, for tests, for laptops.
    Speaks Consul's HTTP API; Consul's own tools work against it. It keeps nothing.
    """
    from registry.agent.errors import AgentError
    from registry.agent.server import serve_agent
    from registry.runtime.errors import RegistryError
    from registry.runtime.processes.lifecycle import run
    from registry.runtime.tls.server import TlsFiles
    from registry.runtime.tls.trust import TrustFiles

    async def main(stop: asyncio.Event) -> None:
        tls = TlsFiles.from_flags(tls_cert, tls_key, tls_client_ca)
        trust = TrustFiles(check_ca, check_cert, check_key)
        async with serve_agent(host=host, port=port, tls_files=tls, check_trust=trust):
            await stop.wait()

    raise typer.Exit(run(main, failures=(AgentError, RegistryError), log=log_settings(log_format, log_level)))
