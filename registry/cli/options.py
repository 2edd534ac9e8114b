"""Options of `p2p registry`, some of which `p2p agent` has, too; those of all commands are in `registry.runtime`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from registry.runtime.cli_options import (
    ca_option,
    cert_option,
    key_option,
    ticket_keys_option,
)

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
