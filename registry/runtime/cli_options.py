"""The command-line options that the commands of registry, worker and deploy share: host, port, service, consul.

Flag, metavar, bounds and the rule for names stand here once. The environment variable is P2P_<COMMAND>_<FLAG>; a short
one stands here too where all commands with the option mean the same by it. Where a command says something of its own
about an option, it passes its help text; the texts that two commands share are the `Annotated` types at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from registry.runtime import names
from registry.runtime.errors import SettingsError
from registry.runtime.logs.settings import LogFormat, LogLevel, LogSettings


def checked(rule: Callable[[str], object]) -> Callable[[Any], Any]:
    """A callback of an option, which takes its value, or each of its values, only as `rule` allows."""

    def check(value: Any) -> Any:
        try:
            for each in [value] if isinstance(value, str) else value or ():
                rule(each)
        except SettingsError as error:
            raise typer.BadParameter(str(error)) from None
        return value

    return check


def host_option(says: str) -> Any:
    """`--host`, an address to listen on, with the help text `says`."""
    return typer.Option("--host", callback=checked(names.listening_host), help=says)


def port_option(says: str, *, lowest: int = 0) -> Any:
    """`--port`, from `lowest` (0 stands for any free port) to 65535, with the help text `says`.

    Variables of options whose names end in "port" may hold what Kubernetes sets for a Service; the client's
    `EnvironmentCommand`, through which every command reads its environment, leaves such a value out.
    """
    return typer.Option("--port", min=lowest, max=65535, help=says)


def service_option(says: str) -> Any:
    """`--service`, a service's name in Consul, with the help text `says`."""
    return typer.Option("--service", envvar="P2P_SERVICE", callback=checked(names.service_name), help=says)


def consul_option(says: str) -> Any:
    """`--consul`, the URL of a Consul agent, with the help text `says`."""
    return typer.Option("--consul", metavar="URL", envvar="P2P_CONSUL", help=says)


def discovery_option(says: str) -> Any:
    """`--discovery`, the URL of a discovery backend other than Consul, with the help text `says`."""
    return typer.Option("--discovery", metavar="URL", envvar="P2P_DISCOVERY", help=says)


def ticket_keys_option(says: str) -> Any:
    """`--ticket-keys`, the folder of a lookup host's private ticket keys, with the help text `says`."""
    return typer.Option("--ticket-keys", metavar="DIR", envvar="P2P_TICKET_KEYS", help=says)


def ca_option(flag: str, *, signed: str) -> Any:
    """The authority that a command trusts as a client of servers; `signed` says which certificates are its."""
    says = f"PEM file of the authority that signed {signed}.  [default: the system's]"
    return typer.Option(flag, metavar="FILE", envvar="P2P_CA", help=says)


def cert_option(flag: str, *, of: str) -> Any:
    """The certificate that a command shows as a client of the servers `of`."""
    says = f"PEM file of a certificate for {of} that want one of clients."
    return typer.Option(flag, metavar="FILE", envvar="P2P_CERT", help=says)


def key_option(flag: str, *, cert: str) -> Any:
    """The key of the certificate that the flag `cert` names."""
    return typer.Option(flag, metavar="FILE", envvar="P2P_KEY", help=f"PEM file of its key.  [default: that of {cert}]")


TlsCert = Annotated[
    Path | None,
    typer.Option(
        "--tls-cert",
        metavar="FILE",
        envvar="P2P_TLS_CERT",
        help="PEM file of the server's certificate: https alone is spoken then, TLS 1.2 and newer. Read again when it "
        "changes.",
    ),
]

TlsKey = Annotated[
    Path | None,
    typer.Option(
        "--tls-key", metavar="FILE", envvar="P2P_TLS_KEY", help="PEM file of its key.  [default: that of --tls-cert]"
    ),
]

TlsClientCa = Annotated[
    Path | None,
    typer.Option(
        "--tls-client-ca",
        metavar="FILE",
        envvar="P2P_TLS_CLIENT_CA",
        help="PEM file of authorities: clients must show a certificate that one of them signed.",
    ),
]


Host = Annotated[str, host_option("Address to listen on.")]

Port = Annotated[int, port_option("0: any free port.")]

RegisteredName = Annotated[str, service_option("The name to register under.")]
"""Of a command that registers workers."""

WorkerConsul = Annotated[str | None, consul_option("Consul agent; CONSUL_HTTP_ADDR is read too.")]
"""Of a command that registers a worker."""

LookupConsul = Annotated[
    str | None,
    consul_option(
        "Consul agent to use; CONSUL_HTTP_ADDR and its siblings mean what they mean to Consul's own tools.  "
        "[default: http://127.0.0.1:8500]"
    ),
]
"""Of a command that follows services."""

Discovery = Annotated[
    str | None,
    discovery_option("ZooKeeper in place of Consul: zookeeper://HOST:PORT,HOST:PORT[/PATH].  [default: Consul]"),
]
"""Of a command that registers workers or follows services."""

TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--tokens",
        metavar="FILE",
        envvar="P2P_TOKENS",
        help="Answer only callers whose token is in this file (p2p tokens new NAME); it is read again when it changes.",
    ),
]
"""Of a command that answers clients."""

CorsOrigins = Annotated[
    list[str] | None,
    typer.Option(
        "--cors-origin",
        metavar="ORIGIN",
        help="Web pages of this origin, such as https://page.example, may ask; * stands for all. May be repeated.",
    ),
]

AllowedHosts = Annotated[
    list[str] | None,
    typer.Option(
        "--allowed-host",
        metavar="NAME",
        help="With --tokens: a further name that clients know this server by. May be repeated.",
    ),
]

LogFormatOption = Annotated[
    LogFormat,
    typer.Option("--log-format", envvar="P2P_LOG_FORMAT", help="Lines for people, or one JSON object a line."),
]

LogLevelOption = Annotated[
    LogLevel, typer.Option("--log-level", envvar="P2P_LOG_LEVEL", help="The least that is worth a line.")
]

AccessLogOption = Annotated[
    bool,
    typer.Option(
        "--access-log", envvar="P2P_ACCESS_LOG", help="One line a request: status, bytes, time, worker, request id."
    ),
]

AccessLogSample = Annotated[
    float,
    typer.Option(
        "--access-log-sample",
        metavar="PART",
        envvar="P2P_ACCESS_LOG_SAMPLE",
        min=0.000001,
        max=1.0,
        help="With --access-log: of which part of the requests, such as 0.01.",
    ),
]
"""Of a command that answers requests."""


def log_settings(
    log_format: LogFormat, log_level: LogLevel, access_log: bool = False, access_log_sample: float = 1.0
) -> LogSettings:
    """What the flags above give."""
    return LogSettings(log_format, log_level, access_log_sample if access_log else None)
