"""The command `p2p status`: reads its arguments, calls, and chooses the exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from p2pclient.cli.arguments import Interval, Json, Registry, Timeout, TokenFile, Watch, Wide
from p2pclient.cli.connection import client_for, credentials
from p2pclient.cli.exit_codes import FAILED, INTERRUPTED
from p2pclient.cli.terminal_output.terminal import complain, show_warnings, terminal_width
from p2pclient.types import DEFAULT_REGISTRY

if TYPE_CHECKING:
    from p2pclient.cli.status.model import ServiceStatus


def status(
    registry: Registry = DEFAULT_REGISTRY,
    wide: Wide = False,
    watch: Watch = False,
    interval: Interval = 2.0,
    as_json: Json = False,
    timeout: Timeout = 5.0,
    token_file: TokenFile = None,
) -> None:
    """Show services and workers: health, versions, engines, load.

    \b
      p2p status
      p2p status --wide
      p2p status --watch
      p2p status --json | jq '.services[].workers[] | select(.health != "passing")'
    """
    import asyncio

    from p2pclient import P2PError
    from p2pclient.cli.status.exposure import exposed_lookups
    from p2pclient.cli.status.query import WORKER_TIMEOUT_S, WorkerRequests, show_status
    from p2pclient.cli.status.table import as_json as json_line
    from p2pclient.cli.status.table import as_table
    from p2pclient.discovery.address import addresses
    from p2pclient.discovery.operator_pages import OperatorPages
    from p2pclient.messages import bearer
    from p2pclient.transport.http import HttpTransport

    client = client_for(registry, None, timeout, token_file=token_file, routing="lookup")
    trust = credentials(token_file)
    transport = HttpTransport(connect_timeout_s=WORKER_TIMEOUT_S, tls=trust["tls"].verification())
    where = addresses(registry)
    pages = None if where.consul else OperatorPages(transport, where.urls, token=trust.get("token"))
    requests = WorkerRequests(
        transport=transport,
        scheme=trust.get("worker_scheme"),
        headers=bearer(trust.get("token")),
    )
    show_warnings(lambda sentence: complain("status", sentence))
    lookups = exposed_lookups(where, token=trust.get("token"))

    def form(states: list[ServiceStatus]) -> str:
        if as_json:
            return json_line(states, lookups=lookups)
        return as_table(states, width=terminal_width(), lookups=lookups, wide=wide)

    try:
        asyncio.run(show_status(client, requests, pages, form=form, every_s=interval if watch else None))
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except P2PError as error:
        complain("status", str(error))
        raise typer.Exit(FAILED) from None
