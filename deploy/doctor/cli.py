"""The command `p2p doctor`: flags and environment -> `DoctorSettings`, whose findings it prints."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.doctor.lookup_address import consul_in, lookup_urls
from deploy.doctor.role import Role
from registry.instances.instance import RegisterAt
from registry.runtime import names
from registry.runtime.cli_options import checked, consul_option, discovery_option, service_option
from worker.advertising.advertise_flag import parse_advertise
from worker.cli.options import cache_folder
from worker.cli.registration_options import AllowLoopback

if TYPE_CHECKING:
    from registry.runtime.tls.trust import TrustFiles

DEFAULT_LOOKUP = "http://127.0.0.1:12480"


def doctor(
    role: Annotated[
        Role | None,
        typer.Option(help="What this host is; what it then lacks is an error.  [default: all are examined]"),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    consul: Annotated[str | None, consul_option("Consul agent; CONSUL_HTTP_ADDR is read too.")] = None,
    discovery: Annotated[str | None, discovery_option("Only Consul is examined: another backend is refused.")] = None,
    registry: Annotated[
        str,
        typer.Option(metavar="URL", envvar="P2P_REGISTRY", help="Lookup services, with commas between."),
    ] = DEFAULT_LOOKUP,
    service: Annotated[str, service_option("The worker's service.")] = "classify",
    host: Annotated[
        str,
        typer.Option(envvar="P2P_WORKER_HOST", callback=checked(names.listening_host), help="The worker's --host."),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, envvar="P2P_WORKER_PORT", help="The worker's --port; 0: any free one.")
    ] = 0,
    advertise: Annotated[
        str | None,
        typer.Option(
            metavar="WHERE",
            envvar="P2P_WORKER_ADVERTISE",
            callback=checked(parse_advertise),
            help="The worker's --advertise.",
        ),
    ] = None,
    allow_loopback: AllowLoopback = False,
    register: Annotated[
        RegisterAt, typer.Option(envvar="P2P_WORKER_REGISTER", help="The worker's --register.")
    ] = RegisterAt.AGENT,
    tls_cert: Annotated[
        Path | None, typer.Option(metavar="FILE", envvar="P2P_TLS_CERT", help="--tls-cert of worker or lookup service.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", envvar="P2P_TLS_KEY", help="Its --tls-key.")] = None,
    tls_client_ca: Annotated[
        Path | None, typer.Option(metavar="FILE", envvar="P2P_TLS_CLIENT_CA", help="Its --tls-client-ca.")
    ] = None,
    tokens: Annotated[
        Path | None, typer.Option(metavar="FILE", envvar="P2P_TOKENS", help="--tokens of worker or lookup service.")
    ] = None,
    ticket_keys: Annotated[
        Path | None, typer.Option(metavar="DIR", envvar="P2P_TICKET_KEYS", help="The lookup service's --ticket-keys.")
    ] = None,
    require_ticket: Annotated[bool, typer.Option("--require-ticket", help="The worker's --require-ticket.")] = False,
) -> None:
    """Say what is wrong on this host, and the cure of each fault.

    What is to be mended first comes first. It takes the flags and variables of the parts that run here, and changes
    nothing.

    \b
      p2p doctor
      p2p doctor --role worker --host 0.0.0.0 --port 7001
      p2p doctor --json | jq '.findings[] | select(.level != "ok")'

    Exit codes: 0 all is well; 1 there are warnings; 2 there are errors, or wrong usage.
    """
    from deploy.doctor.examine import examine
    from deploy.doctor.report import as_json, as_text, exit_code
    from deploy.doctor.settings import DoctorSettings
    from registry.consul.settings import ConsulSettings
    from registry.runtime.errors import SettingsError
    from registry.runtime.tls.server import TlsFiles

    try:
        if discovery:
            raise SettingsError(
                "It examines hosts that use Consul. With --discovery (P2P_DISCOVERY) ask the lookup service, by "
                "p2p status; docs/guide/zookeeper.md says what to look at."
            )
        settings = DoctorSettings(
            consul=ConsulSettings.from_environment(os.environ, url=consul or consul_in(registry)),
            cache=cache_folder(),
            asked_role=role,
            lookups=lookup_urls(registry),
            service=service,
            host=host,
            port=port,
            advertise=None if advertise is None else parse_advertise(advertise),
            allow_loopback=allow_loopback,
            register=register,
            tls=TlsFiles.from_flags(tls_cert, tls_key, tls_client_ca),
            trust=_trust(),
            token=os.environ.get("P2P_TOKEN") or None,
            tokens=tokens,
            ticket_keys=ticket_keys,
            require_ticket=require_ticket,
        )
    except SettingsError as error:
        print(f"p2p doctor: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    groups = asyncio.run(examine(settings))
    print(as_json(groups) if json else as_text(groups), end="", flush=True)
    raise typer.Exit(exit_code(groups))


def _trust() -> TrustFiles:
    """The client's certificates, from the same variables as those of the client's commands."""
    from registry.runtime.tls.trust import TrustFiles

    named = (os.environ.get(name) for name in ("P2P_CA", "P2P_CERT", "P2P_KEY"))
    return TrustFiles(*(Path(path) if path else None for path in named))
