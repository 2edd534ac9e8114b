"""The flags about a registration that several of the worker's commands take: where it is kept, and what it says."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from registry.instances.instance import RegisterAt
from registry.runtime.cli_options import checked
from worker.advertising.advertise_flag import parse_advertise

Register = Annotated[
    RegisterAt,
    typer.Option(
        "--register",
        help="Register at the agent of this host, or, where there is none (Kubernetes), in the catalogue: a lookup "
        "service runs the health check then.",
    ),
]

AllowLoopback = Annotated[
    bool,
    typer.Option(
        "--allow-loopback",
        envvar="P2P_ALLOW_LOOPBACK",
        help="Register a loopback address although other machines take part in this Consul: all clients are here.",
    ),
]
Weight = Annotated[int, typer.Option("--weight", min=1, max=65_535, help="Share of the traffic against other workers.")]
Drain = Annotated[
    float,
    typer.Option("--drain", min=0, help="Seconds to go on serving after leaving the rotation."),
]

RequireTicket = Annotated[
    bool,
    typer.Option(
        "--require-ticket",
        help="Answer only requests that carry a ticket which a lookup service signed (p2p registry --ticket-keys).",
    ),
]
AgentCheck = Annotated[
    bool | None,
    typer.Option(
        "--agent-check/--no-agent-check",
        help="Whether Consul's agent fetches this worker's /healthz, besides the heartbeats.  [default: yes, but not "
        "with --tls-client-ca: agents show a certificate only if they are configured to]",
    ),
]
AgentCheckName = Annotated[
    str | None,
    typer.Option(
        "--agent-check-name",
        metavar="NAME",
        help="Name that Consul's agent expects in the certificate (Consul 1.8 refuses it).  [default: the address]",
    ),
]


def advertise_option(says: str) -> Any:
    """`--advertise`, where others reach what is started, with the help text `says`."""
    return typer.Option("--advertise", metavar="WHERE", callback=checked(parse_advertise), help=says)
